pub mod data;
pub mod device;
pub mod distill;
pub mod error;
pub mod loss;
pub mod nullspace;
pub mod refine;
pub mod train;
pub mod vit;
pub mod weights;

pub use error::{Error, Result};
