//! Distillation: which student layer learns from which teacher layer, the
//! trained parts, and the losses of a batch.

mod distiller;
mod mapping;
mod passes;
mod precision;
#[cfg(not(target_family = "wasm"))]
mod projection;
mod settings;
mod trainee;

#[cfg(not(target_family = "wasm"))]
pub(crate) use distiller::onto;
pub use distiller::{Distiller, LayerView, Losses, RefinementLosses, TeacherPass};
pub use mapping::{map_layers, with_last_layer};
pub use passes::PassCache;
#[cfg(not(target_family = "wasm"))]
pub(crate) use precision::cast;
#[cfg(not(target_family = "wasm"))]
pub use projection::projections;
pub use settings::{LossForm, Settings, Weights};
#[cfg(not(target_family = "wasm"))]
pub use trainee::adapters;
pub use trainee::{BasisReport, Trainee, adapters_async};
