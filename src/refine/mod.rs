//! Refinement of the teacher's features: by a trained low-rank adapter, or in
//! closed form.

mod adapter;
mod artifacts;
mod patches;
mod training_free;

pub use adapter::{Adapter, low_rank_refine};
pub use artifacts::{NormStats, NormSummary, patch_norms};
#[cfg(not(target_family = "wasm"))]
pub(crate) use patches::on_patches;
pub use training_free::TrainingFree;
