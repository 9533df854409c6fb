use burn::tensor::Tensor;

use super::settings::OutlierNorm;
use crate::tokens::{patch_norms, quantile, unit_length};
use crate::train::Ratio;

/// The outlier loss of one layer: the squared excess of outliers' patch norms over their image's
/// γ-quantile, or median, as a sum and a count, so that the shards of a batch add up exactly.
#[derive(Debug)]
pub struct Outliers {
    /// `Σ (n − q)²` over outliers, and their number.
    pub excess: Ratio,
    /// The patch norms n, without a gradient, `[B, P]`.
    pub norms: Tensor<2>,
    /// q of each image, without a gradient, `[B, 1]`: the quantile, or the median.
    pub threshold: Tensor<2>,
}

/// Norms above so many times their image's median are outliers of [`OutlierNorm::Median`].
const TIMES_MEDIAN: f64 = 2.0;

/// The outlier loss on refined tokens `[B, T, D]` (paper: the rule of the quantile `gamma`); the
/// first `prefix` tokens are left out.
pub fn outliers(refined: Tensor<3>, prefix: usize, rule: OutlierNorm, gamma: f64) -> Outliers {
    let norms = patch_norms(refined, prefix);
    let fixed = norms.clone().detach();
    let (threshold, least) = match rule {
        OutlierNorm::Quantile => {
            let threshold = quantile(fixed.clone(), gamma);
            (threshold.clone(), threshold)
        }
        OutlierNorm::Median => {
            let median = quantile(fixed.clone(), 0.5);
            (median.clone(), median * TIMES_MEDIAN)
        }
    };
    let above = fixed.clone().greater(least.expand(norms.dims())).float();
    let excess = (norms - threshold.clone()) * above.clone();
    let excess = Ratio { sum: excess.square().sum(), count: above.sum() };
    Outliers { excess, norms: fixed, threshold }
}

/// The identity loss `mse(F̂, F)` over the patches of `raw` whose norm is at most twice their
/// image's median, as a sum and a count: `[B, T, D]` twice. The first `prefix` tokens are left
/// out.
pub fn identity(refined: Tensor<3>, raw: Tensor<3>, prefix: usize) -> Ratio {
    let norms = patch_norms(raw.clone(), prefix).detach();
    let limit = quantile(norms.clone(), 0.5) * TIMES_MEDIAN;
    let inliers = norms.clone().lower_equal(limit.expand(norms.dims())).float();
    let tokens = raw.dims()[1];
    let change = (refined - raw).narrow(1, prefix, tokens - prefix);
    let squares = change.square().mean_dim(2).squeeze_dim::<2>(2);
    Ratio { sum: (squares * inliers.clone()).sum(), count: inliers.sum() }
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
