use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::nullspace::Basis;
use crate::tokens::on_patches;

/// The low-rank adapter `F̂ = F + (F Φ_down) Φ_up` on patch tokens (paper, the
/// refinement; class and register tokens pass unchanged).
#[derive(Module, Debug)]
pub struct Adapter {
    /// Φ_down, `[D, r]`.
    pub down: Param<Tensor<2>>,
    /// Φ_up, `[r, D]`.
    pub up: Param<Tensor<2>>,
}

impl Adapter {
    /// Starts at `Φ_down = N`, `Φ_up = N^T`, so that `F̂ = F (I + N N^T)`.
    pub fn from_basis(basis: &Basis, device: &Device) -> Self {
        let down = basis.to_tensor(device);
        let up = down.clone().transpose();
        Self { down: Param::from_tensor(down), up: Param::from_tensor(up) }
    }

    /// From stored Φ_down `[D, r]` and Φ_up `[r, D]`.
    pub fn from_data(down: TensorData, up: TensorData, device: &Device) -> Self {
        let param = |data| Param::from_tensor(Tensor::from_data(data, device));
        Self { down: param(down), up: param(up) }
    }

    /// Refined tokens, `[B, T, D] -> [B, T, D]`; the first `prefix` tokens pass
    /// unchanged.
    pub fn forward(&self, tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
        low_rank_refine(tokens, self.down.val(), self.up.val(), prefix)
    }
}

/// Name of a layer's `down` or `up` in a file of trained parts.
pub(crate) fn adapter_part(layer: usize, half: &str) -> String {
    format!("adapter.{layer}.{half}")
}

/// `F̂ = F + (F Φ_down) Φ_up` on patch tokens: `[B, T, D]`, `[D, r]`, `[r, D]` to
/// `[B, T, D]`; the first `prefix` tokens pass unchanged.
pub fn low_rank_refine(
    tokens: Tensor<3>,
    down: Tensor<2>,
    up: Tensor<2>,
    prefix: usize,
) -> Tensor<3> {
    on_patches(tokens, prefix, |patches| {
        let shift = patches.clone().matmul(down.unsqueeze()).matmul(up.unsqueeze());
        patches + shift
    })
}

/// The closed form of the refinement, `F̂ = F (I − α N Nᵀ)` on outlier patches:
/// it takes the share α of their (near) nullspace component away and needs no
/// training. All other tokens pass unchanged.
#[derive(Debug, Clone)]
pub struct TrainingFree {
    /// N, `[D, r]`, orthonormal columns.
    basis: Tensor<2>,
    share: f64,
}

impl TrainingFree {
    /// With the basis N of the block that reads the features, and α.
    pub fn new(basis: &Basis, share: f64, device: &Device) -> Self {
        Self { basis: basis.to_tensor(device), share }
    }

    /// `[B, T, D] -> [B, T, D]`; `outliers`, `[B, P]`, is 1 for the patches to
    /// refine and 0 for the others. The first `prefix` tokens pass unchanged.
    pub fn forward(&self, tokens: Tensor<3>, outliers: Tensor<2>, prefix: usize) -> Tensor<3> {
        on_patches(tokens, prefix, |patches| {
            let inside = patches
                .clone()
                .matmul(self.basis.clone().unsqueeze())
                .matmul(self.basis.clone().transpose().unsqueeze());
            patches - inside * outliers.unsqueeze_dim::<3>(2) * self.share
        })
    }
}
