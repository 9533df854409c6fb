use serde::{Deserialize, Serialize};

use crate::distill::{Mapping, check_weight, with_last_layer};
use crate::error::{Error, Result};
use crate::refine::nullspace::BasisKind;

/// Which of the two published forms of the information loss to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossForm {
    /// Gram matrices of the next block's output; of the tokens themselves for
    /// the last block.
    #[default]
    Paper,
    /// Plain feature difference after the next block; for the last block, its
    /// Gram matrix against that of the last intermediate layer.
    Reference,
}

/// Weights of the three losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossWeights {
    /// λ_KD.
    pub kd: f64,
    /// λ_outlier.
    pub outlier: f64,
    /// λ_info.
    pub info: f64,
    /// Weight of the identity loss, `mse(F̂, F)` over patches whose raw norm is no outlier's
    /// under [`OutlierNorm::Median`]: what is clean stays as it is.
    #[serde(skip_serializing_if = "is_zero")]
    pub identity: f64,
}

fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { kd: 1.0, outlier: 0.01, info: 1.0, identity: 0.0 }
    }
}

/// Where adapters start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Start {
    /// `Φ_down = N`, `Φ_up = Nᵀ`: the component in the nullspace is doubled (paper).
    #[default]
    Nullspace,
    /// `Φ_down = N`, `Φ_up = 0`: nothing changes.
    Zero,
}

/// Which patches the outlier loss pulls, and to which norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OutlierNorm {
    /// Those above the γ-quantile of their image's norms, to the quantile (paper).
    #[default]
    Quantile,
    /// Those above twice their image's median norm, to the median.
    Median,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The method's settings; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SingerSettings {
    /// Teacher blocks to learn from, counted from 0; the last one is always
    /// added.
    pub layers: Vec<usize>,
    /// Which student layer learns from which of them.
    pub mapping: Mapping,
    /// Rank r of the adapters.
    pub rank: usize,
    /// γ of the outlier threshold.
    pub quantile: f64,
    /// Which basis the adapters start from.
    pub basis: BasisKind,
    /// Where in it they start.
    #[serde(skip_serializing_if = "is_default")]
    pub start: Start,
    /// Which patches are outliers.
    #[serde(skip_serializing_if = "is_default")]
    pub outliers: OutlierNorm,
    /// τ of the `threshold` basis.
    pub threshold: f64,
    /// The form of the information loss.
    pub losses: LossForm,
    /// Weights of the losses.
    pub weights: LossWeights,
}

impl Default for SingerSettings {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            mapping: Mapping::default(),
            rank: 64,
            quantile: 0.97,
            basis: BasisKind::default(),
            start: Start::default(),
            outliers: OutlierNorm::default(),
            threshold: 0.05,
            losses: LossForm::default(),
            weights: LossWeights::default(),
        }
    }
}

impl SingerSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::singer::SingerSettings::default().with(|s| s.rank = 32);
    /// assert_eq!((settings.rank, settings.quantile), (32, 0.97));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The trained variant that leaves clean patches alone best (`docs/recovery.md`): adapters
    /// start at zero, norms above twice the median are pulled to the median, and an identity
    /// loss of weight 10 holds the other patches.
    #[must_use]
    pub fn robust(self) -> Self {
        self.with(|s| {
            s.start = Start::Zero;
            s.outliers = OutlierNorm::Median;
            s.weights.identity = 10.0;
        })
    }

    /// The teacher layers in ascending order, the last block included.
    ///
    /// # Errors
    /// As [`with_last_layer`]; [`Error::Setting`] for a quantile outside 0..=1 and a weight
    /// that is negative or not finite; [`Error::NoIntermediateLayer`] for the reference form
    /// without one.
    pub fn resolve_layers(&self, teacher_depth: usize) -> Result<Vec<usize>> {
        if !(0.0..=1.0).contains(&self.quantile) {
            return Err(Error::setting("quantile", self.quantile, "it must lie between 0 and 1"));
        }
        let LossWeights { kd, outlier, info, identity } = self.weights;
        check_weight("weights.kd", kd)?;
        check_weight("weights.outlier", outlier)?;
        check_weight("weights.info", info)?;
        check_weight("weights.identity", identity)?;
        let layers = with_last_layer(&self.layers, teacher_depth)?;
        if self.losses == LossForm::Reference && layers.len() < 2 {
            return Err(Error::NoIntermediateLayer);
        }
        Ok(layers)
    }
}
