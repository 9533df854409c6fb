//! Distillation: which student layer learns from which teacher layer, the
//! trained parts, and the losses of a batch.

mod distiller;
mod mapping;
mod precision;
mod settings;
mod trainee;

pub use distiller::{Distiller, LayerView, Losses, TeacherPass};
pub use mapping::map_layers;
pub use settings::{LossForm, Settings, Weights};
pub use trainee::{BasisReport, Trainee};
