//! The left nullspace of a block, linearised as its MLP without bias and
//! activation: `W̃ = (W_fc2 W_fc1)^T`, `[D, D]` (the paper's section on
//! initialisation; `METHOD` in the README).
//!
//! Everything here is f64 on the host and runs once, when adapters are made.

mod basis;
mod linearise;

pub use basis::{Basis, BasisKind, Selection};
#[cfg(not(target_family = "wasm"))]
pub use linearise::linearise;
pub use linearise::{linearise_async, reader_of};
