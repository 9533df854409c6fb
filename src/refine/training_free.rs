use burn::tensor::{Device, Tensor, TensorData};

use super::patches::on_patches;
use crate::nullspace::Basis;

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
        let shape = [basis.vectors.nrows(), basis.vectors.ncols()];
        let data = TensorData::new(basis.to_row_major(), shape);
        Self { basis: Tensor::from_data(data, device), share }
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
