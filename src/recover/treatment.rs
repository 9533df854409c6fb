use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::loss::quantile;
use crate::refine::{Adapter, TrainingFree, on_patches, patch_norms};

/// What is done to features with artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Nothing.
    Raw,
    /// SiNGER's adapter, on every patch.
    Refined,
    /// `F (I − N Nᵀ)` on outliers.
    TrainingFree,
    /// Outliers scaled down to their image's quantile.
    Clipped,
    /// Outliers replaced by the mean of their image's other patches.
    Masked,
}

impl Treatment {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Raw, Self::Refined, Self::TrainingFree, Self::Clipped, Self::Masked];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Refined => "refined",
            Self::TrainingFree => "training-free",
            Self::Clipped => "clipped",
            Self::Masked => "masked",
        }
    }
}

/// Features to be treated.
pub struct Treated<'a> {
    /// `[B, T, D]`.
    pub tokens: Tensor<3>,
    /// Class and register tokens, which pass unchanged.
    pub prefix: usize,
    /// γ: norms above this quantile of their image's are outliers.
    pub quantile: f64,
    /// The layer's adapter.
    pub adapter: &'a Adapter,
    /// The layer's closed form.
    pub closed: &'a TrainingFree,
}

impl Treated<'_> {
    /// `[B, T, D]`.
    pub fn treat(&self, treatment: Treatment) -> Tensor<3> {
        let tokens = self.tokens.clone();
        match treatment {
            Treatment::Raw => tokens,
            Treatment::Refined => self.adapter.forward(tokens, self.prefix),
            Treatment::TrainingFree => {
                let [outliers, ..] = self.outliers();
                self.closed.forward(tokens, outliers, self.prefix)
            }
            Treatment::Clipped => {
                let [outliers, norms, threshold] = self.outliers();
                let factor = threshold.expand(norms.dims()) / norms.clamp_min(1e-12);
                let factor = (factor - 1.0) * outliers + 1.0;
                on_patches(tokens, self.prefix, |patches| patches * factor.unsqueeze_dim::<3>(2))
            }
            Treatment::Masked => {
                let [outliers, ..] = self.outliers();
                let outlier = outliers.unsqueeze_dim::<3>(2);
                on_patches(tokens, self.prefix, |patches| {
                    let others: Tensor<3> = 1.0 - outlier.clone();
                    let sum = (patches.clone() * others.clone()).sum_dim(1);
                    let mean = sum / others.clone().sum_dim(1).clamp_min(1.0);
                    patches * others + mean * outlier
                })
            }
        }
    }

    /// 1 for each outlier, the norms, both `[B, P]`, and the threshold `[B, 1]`.
    fn outliers(&self) -> [Tensor<2>; 3] {
        let norms = patch_norms(self.tokens.clone(), self.prefix);
        let threshold = quantile(norms.clone(), self.quantile);
        let above = norms.clone().greater(threshold.clone().expand(norms.dims())).float();
        [above, norms, threshold]
    }
}
