//! Weights in safetensors files: timm-named models, and plain named tensors.

mod load;
mod save;
mod tensors;

pub use load::{load, stored_config};
pub use save::save;
pub use tensors::{NamedTensors, remove_unfinished, write_atomically};
