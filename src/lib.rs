//! SiNGER: distil Vision Transformers into small, clean students, on any GPU.
//!
//! Large ViTs grow high-norm artifact tokens, and feature distillation copies
//! them. SiNGER (Yu, Jeong et al., ICLR 2026) refines the teacher's features by
//! low-rank adapters before the student learns from them.
//!
//! The method, leaf to root:
//! - [`vit`]: the transformers, `[B, 3, H, W]` to tokens `[B, T, D]` of any block.
//! - [`tokens`]: patch tokens, their norms and quantiles.
//! - [`distill`]: ways to distil, one file each; [`distill::singer`] is the paper's: left
//!   nullspace, adapter, losses.
//!
//! Around it:
//! - [`data`]: image sets, transforms, the prefetching loader, procedural scenes.
//! - [`weights`]: checkpoints in any published naming, recognised; timm-named safetensors out.
//! - `hub` (feature `hub`): weights from the model hub, through its usual cache.
//! - [`train`]: optimiser, schedule, exact checkpoints and the loop.
//! - [`model`]: a transformer with its name, shape and images, opened and written.
//! - [`export`]: models as timm, transformers and ONNX read them.
//! - [`frozen`]: features of a model that is not trained, by the shaders on a GPU.
//! - [`maps`]: norm and similarity maps of features, and their pictures.
//! - [`inspect`]: norms, similarities and drift of a teacher and its student on images.
//! - [`eval`]: accuracy, nearest neighbours, norms of raw and refined features.
//! - [`probe`]: linear heads on frozen features: classes, segments, depth.
//! - [`plant`]: artifacts of known place and strength in a clean model.
//! - [`recover`]: how much of the clean features comes back from planted artifacts.
//! - `figure` (feature `figures`): sheets of maps, charts and radar charts, as PNG and SVG.
//! - [`gpu`]: the WGSL shaders, on wgpu alone.
//! - [`device`]: which GPU, or the CPU.
//! - [`readback`]: tensors' values on the host.
//! - `report` (feature `figures`): pages, tables and charts of what was measured.
//! - [`statistics`]: quantiles and medians of values on the host.
//!
//! Training needs an autodiff device for what is trained
//! (`device.clone().autodiff()`), and the plain one for the teacher and the
//! images; `examples/distill_by_hand.rs` shows a whole loop.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod data;
pub mod device;
pub mod distill;
pub mod error;
#[cfg(not(target_family = "wasm"))]
pub mod eval;
#[cfg(not(target_family = "wasm"))]
pub mod export;
#[cfg(all(feature = "figures", not(target_family = "wasm")))]
pub mod figure;
pub mod frozen;
pub mod gpu;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(not(target_family = "wasm"))]
pub mod inspect;
mod interop;
pub mod maps;
pub mod model;
#[cfg(not(target_family = "wasm"))]
pub mod plant;
#[cfg(not(target_family = "wasm"))]
pub mod probe;
pub mod readback;
#[cfg(not(target_family = "wasm"))]
pub mod recover;
#[cfg(all(feature = "figures", not(target_family = "wasm")))]
pub mod report;
#[cfg(not(target_family = "wasm"))]
pub mod run;
pub mod statistics;
pub mod tokens;
pub mod train;
pub mod vit;
pub mod weights;

pub use data::ImageSet;
pub use device::Device;
pub use distill::Adapters;
pub use distill::singer::FitSettings;
pub use error::{Error, LimitKind, Result};
#[cfg(not(target_family = "wasm"))]
pub use export::Format;
pub use model::Model;
#[cfg(not(target_family = "wasm"))]
pub use run::{Distill, Pretrain, Run, fit};
