//! Refinement of the teacher's features: by a trained low-rank adapter, or in
//! closed form.

mod adapter;
mod artifacts;
mod training_free;

pub use adapter::{Adapter, low_rank_refine};
pub use artifacts::{NormStats, NormSummary, patch_norms};
pub use training_free::TrainingFree;
