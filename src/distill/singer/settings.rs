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
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { kd: 1.0, outlier: 0.01, info: 1.0 }
    }
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
    /// How the adapters start.
    pub basis: BasisKind,
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
        let LossWeights { kd, outlier, info } = self.weights;
        check_weight("weights.kd", kd)?;
        check_weight("weights.outlier", outlier)?;
        check_weight("weights.info", info)?;
        let layers = with_last_layer(&self.layers, teacher_depth)?;
        if self.losses == LossForm::Reference && layers.len() < 2 {
            return Err(Error::NoIntermediateLayer);
        }
        Ok(layers)
    }
}
