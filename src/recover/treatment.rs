use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::inspect::{clipped, replaced_by_mean};
use crate::maps::Outliers;
use crate::refine::TrainingFree;
use crate::tokens::{patch_norms, quantile};

/// What is done to features with artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Nothing.
    Raw,
    /// Artifacts found and removed in closed form, in line over all blocks.
    ClosedForm,
    /// SiNGER's adapters fitted as published, on every patch.
    #[serde(alias = "refined")]
    Published,
    /// Adapters fitted by robust outliers and an identity loss, on every patch
    /// ([`SingerSettings::robust`](crate::distill::singer::SingerSettings::robust)).
    Trained,
    /// `F (I − N Nᵀ)` on outliers.
    TrainingFree,
    /// Outliers scaled down to their image's quantile.
    Clipped,
    /// Outliers replaced by the mean of their image's other patches.
    #[serde(alias = "masked")]
    ReplacedByMean,
    /// SINDER's target: outliers replaced by the mean of their neighbours, in line.
    Neighbours,
    /// Test-time registers.
    Registers,
    /// PH-Reg's averages over shifted and flipped images.
    Averaged,
}

impl Treatment {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Raw,
        Self::ClosedForm,
        Self::Published,
        Self::Trained,
        Self::TrainingFree,
        Self::Clipped,
        Self::ReplacedByMean,
        Self::Neighbours,
        Self::Registers,
        Self::Averaged,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::ClosedForm => "closed form",
            Self::Published => "published fit",
            Self::Trained => "trained variant",
            Self::TrainingFree => "training-free",
            Self::Clipped => "clipped",
            Self::ReplacedByMean => "replaced by mean",
            Self::Neighbours => "neighbours",
            Self::Registers => "test-time registers",
            Self::Averaged => "averaged views",
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
    /// The layer's training-free refinement.
    pub training_free: &'a TrainingFree,
}

impl Treated<'_> {
    /// `[B, T, D]`; none for treatments that need more than these tokens.
    pub fn treat(&self, treatment: Treatment) -> Option<Tensor<3>> {
        let tokens = self.tokens.clone();
        Some(match treatment {
            Treatment::Raw => tokens,
            Treatment::TrainingFree => {
                let (outliers, _) = self.outliers();
                self.training_free.forward(tokens, outliers.mask, self.prefix)
            }
            Treatment::Clipped => {
                let (outliers, norms) = self.outliers();
                clipped(tokens, norms, &outliers, self.prefix)
            }
            Treatment::ReplacedByMean => {
                let (outliers, _) = self.outliers();
                replaced_by_mean(tokens, &outliers, self.prefix)
            }
            _ => return None,
        })
    }

    /// Patches whose norm is above their image's quantile, and the norms `[B, P]`.
    fn outliers(&self) -> (Outliers, Tensor<2>) {
        let norms = patch_norms(self.tokens.clone(), self.prefix);
        let threshold = quantile(norms.clone(), self.quantile);
        let mask = norms.clone().greater(threshold.clone().expand(norms.dims())).float();
        let count = mask.clone().sum_dim(1);
        (Outliers { threshold, mask, count }, norms)
    }
}
