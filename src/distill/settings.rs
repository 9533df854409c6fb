use serde::{Deserialize, Serialize};

use super::with_last_layer;
use crate::error::{Error, Result};
use crate::nullspace::BasisKind;

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
pub struct Weights {
    /// λ_KD.
    pub kd: f64,
    /// λ_outlier.
    pub outlier: f64,
    /// λ_info.
    pub info: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { kd: 1.0, outlier: 0.01, info: 1.0 }
    }
}

/// The method's settings; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Teacher blocks to learn from, counted from 0; the last one is always
    /// added.
    pub layers: Vec<usize>,
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
    pub weights: Weights,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            rank: 64,
            quantile: 0.97,
            basis: BasisKind::default(),
            threshold: 0.05,
            losses: LossForm::default(),
            weights: Weights::default(),
        }
    }
}

impl Settings {
    /// The teacher layers in ascending order, the last block included.
    ///
    /// # Errors
    /// [`Error::Config`] for a layer that the teacher does not have, one named
    /// twice, a quantile outside 0..=1, a weight that is negative or not
    /// finite, and the reference form without an intermediate layer.
    pub fn resolve_layers(&self, teacher_depth: usize) -> Result<Vec<usize>> {
        if !(0.0..=1.0).contains(&self.quantile) {
            return Err(Error::setting("quantile", self.quantile, "it must lie between 0 and 1"));
        }
        let Weights { kd, outlier, info } = self.weights;
        for (name, value) in [("kd", kd), ("outlier", outlier), ("info", info)] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::config(format!(
                    "singer.weights.{name} is {value}; it must be 0 or more"
                )));
            }
        }
        let layers = with_last_layer(&self.layers, teacher_depth)?;
        if self.losses == LossForm::Reference && layers.len() < 2 {
            return Err(Error::config(
                "singer.losses = \"reference\" compares the last layer with an intermediate one: \
                 name at least one in singer.layers",
            ));
        }
        Ok(layers)
    }
}
