use burn::tensor::Tensor;

use crate::tokens::{patch_norms, quantile, unit_length};
use crate::train::Ratio;

/// The outlier loss of one layer: the squared excess of patch norms over their image's
/// γ-quantile, as a sum and a count, so that the shards of a batch add up exactly.
#[derive(Debug)]
pub struct Outliers {
    /// `Σ (n − q)²` over patches with `n > q`, and the number of those patches.
    pub excess: Ratio,
    /// The patch norms n, without a gradient, `[B, P]`.
    pub norms: Tensor<2>,
    /// q of each image, without a gradient, `[B, 1]`.
    pub threshold: Tensor<2>,
}

/// The outlier loss on refined tokens `[B, T, D]` (paper); the first `prefix` tokens are
/// left out.
pub fn outliers(refined: Tensor<3>, prefix: usize, gamma: f64) -> Outliers {
    let norms = patch_norms(refined, prefix);
    let fixed = norms.clone().detach();
    let threshold = quantile(fixed.clone(), gamma);
    let above = fixed.clone().greater(threshold.clone().expand(norms.dims())).float();
    let excess = (norms - threshold.clone()) * above.clone();
    let excess = Ratio { sum: excess.square().sum(), count: above.sum() };
    Outliers { excess, norms: fixed, threshold }
}

/// The Gram matrix of the patch tokens scaled to unit length: `[B, T, D] -> [B, P, P]`; the
/// first `prefix` tokens are left out.
pub fn gram(tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
    let count = tokens.dims()[1] - prefix;
    let unit = unit_length(tokens.narrow(1, prefix, count));
    unit.clone().matmul(unit.transpose())
}

/// Mean squared difference of two Gram matrices: `[B, T, D]` twice to `[1]`.
pub fn gram_mse(a: Tensor<3>, b: Tensor<3>, prefix: usize) -> Tensor<1> {
    crate::distill::mse(gram(a, prefix), gram(b, prefix))
}
