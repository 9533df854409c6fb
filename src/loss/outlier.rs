use burn::tensor::Tensor;

use super::quantile;
use crate::refine::patch_norms;

/// The outlier loss of one layer, kept as a sum and a count so that parts of a
/// batch can be put together exactly.
#[derive(Debug, Clone)]
pub struct OutlierTerm {
    /// `Σ (n − q)²` over patches with `n > q`, `[1]`.
    pub sum: Tensor<1>,
    /// Number of those patches, `[1]`.
    pub count: Tensor<1>,
    /// The patch norms, outside the graph's gradient, `[B, P]`.
    pub norms: Tensor<2>,
    /// q of each image, `[B, 1]`.
    pub threshold: Tensor<2>,
}

impl OutlierTerm {
    /// The mean, 0 where no patch is above its threshold: `[1]`.
    pub fn mean(self) -> Tensor<1> {
        self.sum / self.count.clamp_min(1.0)
    }
}

/// The outlier loss on refined tokens `[B, T, D]` (paper): the squared excess of
/// patch norms over their image's γ-quantile, which has no gradient.
pub fn outlier(refined: Tensor<3>, prefix: usize, gamma: f64) -> OutlierTerm {
    let norms = patch_norms(refined, prefix);
    let fixed = norms.clone().detach();
    let threshold = quantile(fixed.clone(), gamma);
    let above = fixed.clone().greater(threshold.clone().expand(norms.dims())).float();
    let excess = (norms - threshold.clone()) * above.clone();
    OutlierTerm { sum: excess.square().sum(), count: above.sum(), norms: fixed, threshold }
}
