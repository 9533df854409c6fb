//! Planting artifacts of known place and strength into a clean teacher.
//!
//! This imitates the natural mechanism, in which a few hidden units of an MLP write a
//! large constant vector into the residual stream of low-information patches: hidden
//! units are given weights that do the same. [`Kind`] says what they write. The result is
//! an ordinary model.

mod gate;
mod kind;
mod placement;
mod samples;
mod silence;
mod units;
mod write;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use crate::vit::Vit;
use samples::Samples;
use units::{gain_of, least_used, rewrite};
use write::{Plan, plan};

pub use kind::Kind;
pub use placement::Placement;
pub use silence::silence;

/// What to plant, and where.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlantSettings {
    /// The block whose MLP writes the vector.
    pub block: usize,
    /// What is planted.
    pub kind: Kind,
    /// Norm of the vector, in multiples of the median patch norm after that block.
    pub strength: f64,
    /// Share of all patches that receive the vector, between 0 and 0.5.
    pub share: f64,
    /// Share of the images whose class token receives it, between 0 and 1, for
    /// [`Kind::ClassToken`]. The other kinds' units fire on class tokens as chance has it.
    pub class_share: f64,
    /// Direction of the vector.
    pub placement: Placement,
    /// Rank of the basis that `placement` refers to.
    pub rank: usize,
    /// Seed of the directions.
    pub seed: u64,
}

impl Default for PlantSettings {
    fn default() -> Self {
        Self {
            block: 0,
            kind: Kind::Single,
            strength: 6.0,
            share: 0.03,
            class_share: 0.3,
            placement: Placement::Inside,
            rank: 64,
            seed: 0,
        }
    }
}

impl PlantSettings {
    /// The settings with a change.
    ///
    /// ```
    /// use singer::plant::{Kind, PlantSettings};
    ///
    /// let settings = PlantSettings::default().with(|s| s.kind = Kind::Wobble);
    /// assert_eq!((settings.strength, settings.share), (6.0, 0.03));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self, depth: usize) -> Result<()> {
        let Self { block, strength, share, class_share, .. } = *self;
        if block >= depth {
            return Err(no_such_block(block, depth));
        }
        if self.kind == Kind::Blocks && block == 0 {
            return Err(Error::setting("block", block, "two blocks need one above 0"));
        }
        if !(share > 0.0 && share < 0.5) {
            return Err(Error::setting("share", share, "it must lie between 0 and 0.5"));
        }
        if !(class_share > 0.0 && class_share < 1.0) {
            return Err(Error::setting("class_share", class_share, "it must lie between 0 and 1"));
        }
        if !(strength.is_finite() && strength > 0.0) {
            return Err(Error::setting("strength", strength, "it must be above 0"));
        }
        Ok(())
    }
}

/// What was planted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planted {
    /// The hidden units that now write, by block.
    pub units: BTreeMap<usize, Vec<usize>>,
    /// Norm of the vector at its mean where it is written.
    pub norm: f64,
    /// Share of the fitted patches on which it is written.
    pub fires_on: f64,
    /// Share of those patches that are among the low-information half.
    pub precision: f64,
    /// Share of the fitted images whose class token is written to by a unit of its own.
    pub class_token: f64,
    /// Share of the patches' own content that is left where it is written: 1 but for
    /// [`Kind::Shrunk`].
    pub content: f64,
}

/// Plants artifacts. On which patches they are written is fitted to `images`, batches
/// `[B, 3, H, W]` on the model's device (without autodiff).
///
/// # Errors
/// [`Error::Setting`]; [`Error::Incompatible`] for a gated MLP, for a LayerScale that is
/// zero in places, for a kind that needs more hidden units than there are, and for a class
/// token where there is none; [`Error::NoImages`] where there are fewer than two patches in
/// all; [`Error::Svd`] and [`Error::Gpu`].
pub fn plant(model: Vit, images: &[Tensor<4>], settings: &PlantSettings) -> Result<(Vit, Planted)> {
    settings.check(model.depth())?;
    let blocks = settings.kind.blocks(settings.block);
    let clean = model.clone();
    let (mut model, mut units, mut last) = (model, BTreeMap::new(), None);
    for block in blocks {
        // The vectors of two blocks have nothing to do with each other.
        let seed = settings.seed.wrapping_add(1_000_003 * (settings.block - block) as u64);
        let settings = PlantSettings { block, seed, ..*settings };
        let (with, planted) = plant_one(model, &clean, last.is_some(), images, &settings)?;
        units.extend(planted.units.clone());
        (model, last) = (with, Some(planted));
    }
    let last = last.ok_or_else(|| no_such_block(settings.block, 0))?;
    Ok((model, Planted { units, ..last }))
}

/// Plants into one block. Where the unit fires is fitted to the clean model; in one `later` than
/// another planted block the unit does not read what the artifacts from there change, lest it
/// fire because of them.
fn plant_one(
    model: Vit,
    clean: &Vit,
    later: bool,
    images: &[Tensor<4>],
    settings: &PlantSettings,
) -> Result<(Vit, Planted)> {
    let PlantSettings { block: index, kind, strength, rank, seed, .. } = *settings;
    let mlp = &model.blocks[index].mlp;
    if mlp.activation().is_gated() || mlp.norm.is_some() || mlp.fc1.bias.is_none() {
        return Err(Error::incompatible(format!(
            "block {index} has a gated MLP, or one with a norm or without bias, in which no single hidden unit can be made to write a constant vector; plant into a model with a plain MLP"
        )));
    }
    let mut samples = Samples::gather(clean, images, index)?;
    if samples.count() < 2 {
        return Err(Error::NoImages);
    }
    if later {
        samples.ignore(&samples.mean_change(&Samples::gather(&model, images, index)?));
    }
    let reader = next_block(index, model.depth());
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed };
    let basis = Basis::select(&Linearised::of(&model.blocks[reader]), &selection, reader)?;
    let norm = strength * samples.median_norm;
    let mut vectors = settings.placement.vectors(&basis, kind.vectors(), seed)?;
    vectors.iter_mut().flatten().for_each(|v| *v *= norm);

    let Plan { units, fired, class_token, content } = plan(&samples, settings, &vectors)?;
    let places = least_used(&model, &samples, index, units.len())?;
    let gain = gain_of(&model, index)?;
    let model = rewrite(model, index, &places, &units, &gain);

    let low = samples.low_information();
    let hits = fired.iter().filter(|&&patch| low[patch]).count();
    let planted = Planted {
        units: [(index, places)].into(),
        norm,
        fires_on: fired.len() as f64 / samples.count() as f64,
        precision: hits as f64 / fired.len().max(1) as f64,
        class_token,
        content,
    };
    Ok((model, planted))
}

fn no_such_block(block: usize, depth: usize) -> Error {
    Error::setting("block", block, format!("the model's blocks are 0 to {}", depth.max(1) - 1))
}
