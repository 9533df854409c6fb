use burn::tensor::Tensor;

use super::Adapters;
#[cfg(not(target_family = "wasm"))]
use super::{Averaged, Neighbours, Registers};
use crate::vit::Vit;

/// What is done to a frozen teacher's tokens on their way through its blocks. Later blocks read
/// the refined tokens.
#[derive(Debug, Clone)]
pub enum Refiner {
    /// Gated adapters, see [`closed_form`](super::closed_form).
    ClosedForm(Adapters),
    /// SINDER's target.
    #[cfg(not(target_family = "wasm"))]
    Neighbours(Neighbours),
    /// Test-time registers.
    #[cfg(not(target_family = "wasm"))]
    Registers(Registers),
    /// PH-Reg's targets; here each block reads its own tokens.
    #[cfg(not(target_family = "wasm"))]
    Averaged(Averaged),
}

impl Refiner {
    /// The same for refiners that refine alike; none where that cannot be told.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn fingerprint(&self) -> Option<String> {
        match self {
            Self::ClosedForm(adapters) => adapters.fingerprint(),
            Self::Neighbours(neighbours) => Some(neighbours.fingerprint()),
            Self::Registers(registers) => Some(registers.fingerprint()),
            Self::Averaged(averaged) => Some(averaged.fingerprint()),
        }
    }

    /// The refined tokens leaving each of `layers`, in that order, without the final norm:
    /// `[B, 3, H, W]` to `[B, T, D]` each. Blocks after the last of them are not run.
    ///
    /// # Panics
    /// Where a layer is not a block's index.
    pub fn intermediate(
        &self,
        teacher: &Vit,
        images: Tensor<4>,
        layers: &[usize],
    ) -> Vec<Tensor<3>> {
        match self {
            Self::ClosedForm(adapters) => {
                let prefix = teacher.prefix_tokens();
                teacher.intermediate_changed(images, layers, |block, tokens| {
                    match adapters.get(block) {
                        Some(adapter) => adapter.forward(tokens, prefix),
                        None => tokens,
                    }
                })
            }
            #[cfg(not(target_family = "wasm"))]
            Self::Neighbours(neighbours) => neighbours.intermediate(teacher, images, layers),
            #[cfg(not(target_family = "wasm"))]
            Self::Registers(registers) => registers.intermediate(teacher, images, layers),
            #[cfg(not(target_family = "wasm"))]
            Self::Averaged(averaged) => averaged.intermediate(teacher, images, layers),
        }
    }
}
