//! The three losses of the paper on single layers: knowledge distillation
//! ([`mse`]), outlier suppression ([`outlier`]) and information preservation
//! ([`gram_mse`]); [`distill`](crate::distill) sums and weights them. Losses on
//! logits for the baselines: [`cross_entropy`] and [`soft_target_kl`].

mod gram;
mod logits;
mod outlier;
mod quantile;

pub use gram::{gram, gram_mse};
pub use logits::{cross_entropy, hit_rate, soft_target_kl};
pub use outlier::{OutlierTerm, outlier};
pub use quantile::quantile;

use burn::tensor::Tensor;

/// Mean squared difference over all elements: `[B, T, D]` twice to `[1]`.
pub fn mse(a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
    (a - b).square().mean()
}
