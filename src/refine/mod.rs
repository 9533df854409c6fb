//! Refinement of a teacher's features.
//!
//! [`closed_form`] finds and removes artifacts without training; a [`Refiner`] applies it on
//! the way through the teacher. It also applies other people's treatments: SINDER's target
//! ([`Neighbours`]), test-time registers ([`Registers`]) and PH-Reg's ([`Averaged`]).
//!
//! [`nullspace`] makes the basis N, [`Adapter`] the refinement `F̂ = F + (F Φ_down) Φ_up`
//! (SiNGER, Yu, Jeong et al., ICLR 2026, arXiv 2509.20986). The losses that train it are in
//! [`distill::singer`](crate::distill::singer).

mod adapter;
#[cfg(not(target_family = "wasm"))]
mod averaged;
mod closed;
#[cfg(not(target_family = "wasm"))]
mod defect;
mod neighbourhood;
#[cfg(not(target_family = "wasm"))]
mod neighbours;
pub mod nullspace;
mod parts;
mod refiner;
#[cfg(not(target_family = "wasm"))]
mod registers;
#[cfg(not(target_family = "wasm"))]
mod sensitivity;

pub(crate) use adapter::adapter_part;
pub use adapter::{Adapter, Gate, TrainingFree, low_rank_refine};
#[cfg(not(target_family = "wasm"))]
pub use averaged::{Averaged, AveragedSettings, View};
#[cfg(not(target_family = "wasm"))]
pub use closed::closed_form;
pub use closed::{ClosedForm, ClosedSettings, FoundArtifacts, ImageBatches, closed_form_async};
#[cfg(not(target_family = "wasm"))]
pub use defect::defect_directions;
#[cfg(not(target_family = "wasm"))]
pub use neighbours::{Detection, NeighbourSettings, Neighbours};
pub use parts::{Adapters, PartsFile};
#[cfg(not(target_family = "wasm"))]
pub(crate) use parts::{PARTS, REFINED_LAYERS};
pub use refiner::Refiner;
#[cfg(not(target_family = "wasm"))]
pub use registers::{RegisterNeuron, RegisterSettings, RegisterValue, Registers};
#[cfg(not(target_family = "wasm"))]
pub use sensitivity::{Drift, Sensitivity, drift};

use crate::error::{Error, Result};

/// Rejects a setting that is not a number above `least`.
fn above(name: &'static str, value: f64, least: f64) -> Result<()> {
    match value.is_finite() && value > least {
        true => Ok(()),
        false => Err(Error::setting(name, value, format!("it must be above {least}"))),
    }
}
