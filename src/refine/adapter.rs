use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::patches::on_patches;
use crate::nullspace::Basis;

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
        let shape = [basis.vectors.nrows(), basis.vectors.ncols()];
        let data = TensorData::new(basis.to_row_major(), shape);
        let down = Tensor::<2>::from_data(data, device);
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
