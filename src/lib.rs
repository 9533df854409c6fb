//! SiNGER in Rust (crate docs at the end of the session).

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod device;
pub mod distill;
pub mod error;
pub mod eval;
pub mod loss;
pub mod nullspace;
pub mod plant;
pub mod refine;
pub mod train;
pub mod vit;
pub mod weights;

pub use error::{Error, Result};
