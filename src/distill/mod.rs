//! Distillation: which student layer learns from which teacher layer, the
//! trained parts, and the losses of a batch.

mod distiller;
mod mapping;
mod precision;
mod projection;
mod settings;
mod trainee;

pub(crate) use distiller::onto;
pub use distiller::{Distiller, LayerView, Losses, RefinementLosses, TeacherPass};
pub use mapping::{map_layers, with_last_layer};
pub(crate) use precision::cast;
pub use projection::projections;
pub use settings::{LossForm, Settings, Weights};
pub use trainee::{BasisReport, Trainee, adapters};
