//! Weights in and out: timm-named models in files of any common kind, written as
//! safetensors, and plain named tensors.

mod contents;
mod entry;
mod file;
mod header;
mod load;
mod save;
mod shards;
mod tensors;
mod torch;

pub use file::WeightsFile;
pub use load::{load, stored_config, stored_note};
pub use save::{save, save_with_notes};
pub use tensors::{NamedTensors, remove_unfinished, write_atomically};
