//! SiNGER: distil Vision Transformers into small, clean students, on any GPU.
//!
//! Large ViTs grow high-norm artifact tokens, and feature distillation copies them into the
//! student. SiNGER (Yu, Jeong et al., ICLR 2026) refines the teacher's features by low-rank
//! adapters first; the student learns from the refined features. Here the adapters are found in
//! closed form by default, or trained as in the paper.
//!
//! ```
//! use singer::refine::ClosedSettings;
//! use singer::{Device, Distill, Format, ImageSet, Model};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let out = |name: &str| folder.path().join(name);
//! let device = Device::open("cpu")?; // "auto": the best GPU
//! let teacher = Model::open("assets/demo-teacher.safetensors", &device)?; // or "hf-hub:facebook/dinov2-large"
//! let images = ImageSet::open("scenes:32")?; // or "photos/": no labels needed
//!
//! // The teacher's artifacts, found without training; a run does so itself where it is given none.
//! let found = singer::closed_form(&teacher, &images, &ClosedSettings::default(), &mut |_, _| {})?;
//!
//! let run = Distill::singer(&teacher, "vit_tiny_patch16_224")
//!     .adapters(found.adapters)
//!     .layers([3])
//!     .images(images)
//!     .batch(16)
//!     .steps(2) // or .configure(|config| config.train.epochs = 100.0)
//!     .out(out("runs/tiny"))
//!     .run(|_progress| {})?;
//! run.student().export_to(Format::Onnx, out("student.onnx"))?;
//! # assert!(out("student.onnx").exists() && out("runs/tiny/run.json").exists());
//! # Ok::<(), singer::Error>(())
//! ```
//!
//! # Where to look
//!
//! | for | look in |
//! |---|---|
//! | whole runs: [`Distill`], [`Pretrain`], [`fit`], [`Run`] | [`run`] |
//! | models: open, features, export | [`model`], [`export`] |
//! | images | [`data`] |
//! | refinement of a teacher's features: nullspace, adapters | [`refine`] |
//! | the paper's losses and method | [`distill::singer`] |
//! | baselines, and a method of your own ([`Method`](distill::Method)) | [`distill`] |
//! | the loop: optimiser, schedule, checkpoints, reduction over shards | [`train`] |
//! | the transformer, block by block | [`vit`] |
//! | files of weights in any published naming | [`weights`] |
//! | measuring students: nearest neighbours, linear heads | [`probe`] |
//! | methods compared over seeds | [`study`] |
//! | maps and drift of a teacher and its student | [`inspect`], [`maps`] |
//! | artifacts of known place, and what comes back of the clean features | [`plant`], [`recover`] |
//! | figures and pages (feature `figures`) | `figure`, `report` |
//! | the WGSL shaders, without burn | [`gpu`]; [`frozen`] is a forward pass by them |
//!
//! Two devices meet in a training loop of your own: the plain one
//! ([`Device::burn`]) holds teacher and images, and what is trained lives on
//! [`Device::autodiff`]; `examples/distill_by_hand.rs` shows one. [`Distill`] needs no such
//! care.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod data;
pub mod device;
pub mod distill;
pub mod error;
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
mod ops;
#[cfg(not(target_family = "wasm"))]
pub mod plant;
#[cfg(not(target_family = "wasm"))]
pub mod probe;
pub mod readback;
#[cfg(not(target_family = "wasm"))]
pub mod recover;
pub mod refine;
#[cfg(all(feature = "figures", not(target_family = "wasm")))]
pub mod report;
#[cfg(not(target_family = "wasm"))]
pub mod run;
pub mod statistics;
#[cfg(not(target_family = "wasm"))]
pub mod study;
pub mod tokens;
pub mod train;
pub mod vit;
pub mod weights;

pub use data::ImageSet;
pub use device::Device;
pub use distill::singer::FitSettings;
pub use error::{Error, LimitKind, Result};
#[cfg(not(target_family = "wasm"))]
pub use export::Format;
pub use model::Model;
pub use refine::Adapters;
#[cfg(not(target_family = "wasm"))]
pub use run::{Distill, Pretrain, Run, closed_form, fit};
