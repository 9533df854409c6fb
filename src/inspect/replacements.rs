//! Simple alternatives to refining outliers.

use burn::tensor::Tensor;

use crate::maps::Outliers;
use crate::tokens::on_patches;

/// Outliers' norms scaled down to their image's threshold: `[B, T, D]` and the
/// patches' norms `[B, P]` to `[B, T, D]`.
pub fn clipped(
    tokens: Tensor<3>,
    norms: Tensor<2>,
    outliers: &Outliers,
    prefix: usize,
) -> Tensor<3> {
    let shape = norms.dims();
    let shrunk = outliers.threshold.clone().expand(shape) / norms.clamp_min(1e-12);
    let scale =
        shrunk.mask_where(outliers.mask.clone().equal_elem(0.0), Tensor::ones_like(&outliers.mask));
    scaled(tokens, scale, prefix)
}

/// Outlier patches set to zero, `[B, T, D] -> [B, T, D]`.
pub fn zeroed(tokens: Tensor<3>, outliers: &Outliers, prefix: usize) -> Tensor<3> {
    scaled(tokens, 1.0 - outliers.mask.clone(), prefix)
}

/// Outlier patches replaced by the mean of their image's other patches,
/// `[B, T, D] -> [B, T, D]`; by zero where there are no others.
pub fn replaced_by_mean(tokens: Tensor<3>, outliers: &Outliers, prefix: usize) -> Tensor<3> {
    let outlier = outliers.mask.clone().unsqueeze_dim::<3>(2);
    on_patches(tokens, prefix, |patches| {
        let others: Tensor<3> = 1.0 - outlier.clone();
        let sum = (patches.clone() * others.clone()).sum_dim(1);
        let mean = sum / others.clone().sum_dim(1).clamp_min(1.0);
        patches * others + mean * outlier
    })
}

/// Scales each patch by its factor of `[B, P]`; the first `prefix` tokens stay unchanged.
fn scaled(tokens: Tensor<3>, scale: Tensor<2>, prefix: usize) -> Tensor<3> {
    on_patches(tokens, prefix, |patches| patches * scale.unsqueeze_dim::<3>(2))
}
