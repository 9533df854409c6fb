//! Refinement of the teacher's features by a low-rank adapter.

mod adapter;
mod artifacts;

pub use adapter::{Adapter, low_rank_refine};
pub use artifacts::{NormStats, NormSummary, patch_norms};
