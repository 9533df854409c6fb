//! Weights in and out: ViTs in files of any common kind and any published naming,
//! their architecture recognised; written as safetensors under timm's names; and
//! plain named tensors.

#[cfg(not(target_family = "wasm"))]
mod atomic;
mod bytes;
mod contents;
mod entry;
mod facts;
mod file;
mod header;
mod load;
mod naming;
mod notes;
mod parts;
mod recognise;
#[cfg(not(target_family = "wasm"))]
mod save;
#[cfg(not(target_family = "wasm"))]
mod shards;
mod source;
mod stated;
mod tensors;
#[cfg(not(target_family = "wasm"))]
mod torch;

#[cfg(feature = "cli")]
pub(crate) use atomic::UNFINISHED;
#[cfg(not(target_family = "wasm"))]
pub use atomic::{remove_unfinished, stream_atomically, write_atomically};
pub use file::WeightsFile;
#[cfg(not(target_family = "wasm"))]
pub use load::{load, stored_config, stored_note};
pub(crate) use notes::CONFIG_KEY;
pub use notes::PREPROCESS_KEY;
#[cfg(not(target_family = "wasm"))]
pub(crate) use parts::adapter_part;
pub use parts::{PartsFile, adapters_file};
pub use recognise::Recognised;
#[cfg(not(target_family = "wasm"))]
pub use recognise::recognise;
#[cfg(not(target_family = "wasm"))]
pub use save::{save, save_with_notes};
#[cfg(feature = "hub")]
pub(crate) use shards::shard_names;
pub use tensors::NamedTensors;
