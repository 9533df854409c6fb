//! Weights in and out: ViTs in files of any common kind and any published naming,
//! their architecture recognised; written as safetensors under timm's names; and
//! plain named tensors.

#[cfg(not(target_family = "wasm"))]
mod atomic;
mod contents;
mod entry;
mod facts;
mod file;
#[cfg(not(target_family = "wasm"))]
mod folder;
mod formats;
mod load;
mod naming;
mod options;
mod recognise;
mod safetensors;
mod save;
mod stated;
mod tensors;
#[cfg(not(target_family = "wasm"))]
mod torch;

#[cfg(not(target_family = "wasm"))]
pub(crate) use atomic::UNFINISHED;
#[cfg(not(target_family = "wasm"))]
pub use atomic::{remove_unfinished, stream_atomically, write_atomically};
#[cfg(not(target_family = "wasm"))]
pub(crate) use file::CONFIG_KEY;
pub use file::{PREPROCESS_KEY, WeightsFile};
#[cfg(feature = "hub")]
pub(crate) use folder::{Unclear, choose as choose_file};
#[cfg(feature = "hub")]
pub(crate) use formats::{file_in, shard_names};
#[cfg(not(target_family = "wasm"))]
pub use load::{load, stored_config, stored_note};
pub use recognise::Recognised;
#[cfg(not(target_family = "wasm"))]
pub use recognise::recognise;
#[cfg(not(target_family = "wasm"))]
pub(crate) use safetensors::header as safetensors_header;
pub use save::to_tensors;
#[cfg(not(target_family = "wasm"))]
pub use save::{save, save_with_notes};
pub use tensors::NamedTensors;
