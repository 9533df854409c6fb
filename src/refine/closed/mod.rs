//! Refinement in closed form: no training, no labels, no student.
//!
//! Artifacts are patch tokens that a block pushed far along a few directions U, whatever
//! their content. Block by block, on tokens that are refined after the blocks before,
//!
//! 1. patches whose norm exceeds twice their image's median are taken for outliers;
//! 2. what outliers have beyond the mean of their neighbours, compared with what other patches
//!    have beyond theirs, gives U (`[D, k]`; the eigenvalues tell k);
//! 3. the [gate](super::Gate) opens for tokens whose score along U lies further from the median
//!    than 4 deviations (1.4826 MAD) of all patches';
//! 4. the component along U is replaced by the one that the token's other components foretell,
//!    by generalised least squares with the covariance of clean patches:
//!    `F̂ = F + g (F − c) Φ_down Uᵀ` with `Φ_down = −S⁻¹ U (Uᵀ S⁻¹ U)⁻¹`.
//!
//! Where nothing stands out, nothing is attached.

mod estimate;
mod subspace;

#[cfg(not(target_family = "wasm"))]
pub use estimate::closed_form;
pub use estimate::{ImageBatches, closed_form_async};

use serde::{Deserialize, Serialize};

use super::{Adapters, above};
use crate::error::{Error, Result};

/// How artifacts are told from clean tokens. The defaults are measured (`docs/recovery.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClosedSettings {
    /// Most images to take of a set, evenly spread.
    pub images: usize,
    /// A patch is an outlier where its norm exceeds this many times its image's median.
    pub norm_factor: f64,
    /// Outliers, and refined patches, without which nothing is attached to a block.
    pub min_outliers: usize,
    /// Most directions of a block.
    pub max_rank: usize,
    /// Least second moment of outliers along a direction, in units of the inliers'.
    pub min_eigenvalue: f64,
    /// The same as a share of the largest.
    pub min_share: f64,
    /// What is added to the diagonal of a covariance, as a share of its mean.
    pub ridge: f64,
    /// Deviations from the median beyond which a score opens the gate.
    pub gate: f64,
    /// Times that U and the gate are estimated, each with the patches left out that the one
    /// before refines.
    pub rounds: usize,
    /// Least cosine between U from moments about zero and from moments about the outliers'
    /// mean at which the second is taken.
    pub agreement: f64,
    /// Largest squared sine of the angle by which so few outliers turn U from moments about
    /// their mean at which it is taken.
    pub turn: f64,
    /// Whether the class token is refined as patch tokens are.
    pub class_token: bool,
    /// Bytes of tokens that are held between blocks; those beyond are computed anew.
    pub cache_bytes: usize,
}

impl Default for ClosedSettings {
    fn default() -> Self {
        Self {
            images: 256,
            norm_factor: 2.0,
            min_outliers: 8,
            max_rank: 8,
            min_eigenvalue: 50.0,
            min_share: 0.005,
            ridge: 1e-2,
            gate: 4.0,
            rounds: 2,
            agreement: 0.98,
            turn: 0.005,
            class_token: true,
            cache_bytes: 2 << 30,
        }
    }
}

impl ClosedSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::refine::ClosedSettings::default().with(|s| s.images = 1000);
    /// assert_eq!((settings.images, settings.gate), (1000, 4.0));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        above("norm_factor", self.norm_factor, 1.0)?;
        above("ridge", self.ridge, 0.0)?;
        above("gate", self.gate, 0.0)?;
        let counts =
            [("images", self.images), ("max_rank", self.max_rank), ("rounds", self.rounds)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, count)) => Err(Error::setting(name, count, "it must be at least 1")),
            None => Ok(()),
        }
    }
}

/// A teacher's refinement in closed form.
#[derive(Debug, Clone)]
pub struct ClosedForm {
    /// Gated adapters of the blocks in which artifacts were found.
    pub adapters: Adapters,
    /// What was found in each of them, ascending.
    pub blocks: Vec<FoundArtifacts>,
    /// Images that were looked at.
    pub images: usize,
}

/// Artifacts that a block writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundArtifacts {
    /// The block, from 0.
    pub block: usize,
    /// Artifact directions k.
    pub rank: usize,
    /// Second moment of the outliers along each direction, in units of the inliers'.
    pub eigenvalues: Vec<f64>,
    /// Share of patches whose norm makes them outliers.
    pub outliers: f64,
    /// Share of patches that are refined.
    pub refined: f64,
    /// Share of images whose class token is refined; none where the model has no class token
    /// or it is left alone.
    pub class_token: Option<f64>,
}
