//! Weights in and out: ViTs in files of any common kind and any published naming,
//! their architecture recognised; written as safetensors under timm's names; and
//! plain named tensors.

mod contents;
mod entry;
mod facts;
mod file;
mod header;
mod load;
mod naming;
mod recognise;
mod save;
mod shards;
mod source;
mod stated;
mod tensors;
mod torch;

pub use file::WeightsFile;
pub use load::{load, stored_config, stored_note};
pub use recognise::{Recognised, recognise};
pub(crate) use save::CONFIG_KEY;
pub use save::{PREPROCESS_KEY, save, save_with_notes};
#[cfg(feature = "hub")]
pub(crate) use shards::shard_names;
#[cfg(feature = "cli")]
pub(crate) use tensors::UNFINISHED;
pub use tensors::{NamedTensors, remove_unfinished, stream_atomically, write_atomically};
