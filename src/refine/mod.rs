//! Refinement of a teacher's features.
//!
//! [`nullspace`] makes the basis N, [`Adapter`] the refinement `F̂ = F + (F Φ_down) Φ_up`
//! (SiNGER, Yu, Jeong et al., ICLR 2026, arXiv 2509.20986). The losses that train it are in
//! [`distill::singer`](crate::distill::singer).

mod adapter;
pub mod nullspace;
mod parts;

pub(crate) use adapter::adapter_part;
pub use adapter::{Adapter, TrainingFree, low_rank_refine};
#[cfg(not(target_family = "wasm"))]
pub(crate) use parts::PARTS;
pub use parts::{Adapters, PartsFile};
