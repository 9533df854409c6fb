//! How much of a teacher's clean features comes back when planted artifacts are
//! refined, clipped or replaced by the mean of the other patches.
//!
//! [`Experiment::run`] does it all; `report::recover` (feature `figures`) writes what
//! it finds as a table and a chart.
//!
//! Where artifacts are planted ([`plant`](crate::plant)), the clean teacher tells the true
//! value of every token. Each treatment is applied to the planted teacher's features of a
//! layer. The result is compared with the clean features there and after every later
//! block, separately for patches with an artifact and for the others.

mod distance;
mod experiment;
mod treatment;

pub use distance::Errors;
pub use experiment::{Case, Event, Experiment, Findings, GivenTeacher, Images};
pub use treatment::{Treated, Treatment};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::readback::read;
use crate::refine::Adapters;
use crate::refine::TrainingFree;
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use crate::statistics::upper_median;
use crate::tokens::patch_norms;
use crate::vit::Vit;
use distance::Tally;

/// What is compared.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settings {
    /// The block into which artifacts were planted.
    pub block: usize,
    /// γ: a patch whose norm exceeds this quantile of its image's norms is an outlier.
    pub quantile: f64,
    /// Rank of the bases of the training-free refinement.
    pub rank: usize,
}

impl Settings {
    fn check(&self, depth: usize) -> Result<()> {
        if self.block >= depth {
            let expected = format!("the teacher's blocks are 0 to {}", depth - 1);
            return Err(Error::setting("block", self.block, expected));
        }
        if !(0.0..=1.0).contains(&self.quantile) {
            return Err(Error::setting("quantile", self.quantile, "it must lie between 0 and 1"));
        }
        Ok(())
    }
}

/// How far one treatment's features are from the clean ones after one block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recovery {
    /// The layer whose features were treated.
    pub layer: usize,
    /// The block after which the outcome was compared; `layer` or a later one.
    pub block: usize,
    /// The treatment.
    pub treatment: Treatment,
    /// On patches with a planted artifact.
    pub artifacts: Errors,
    /// On all other patches.
    pub clean: Errors,
}

/// Compares every treatment with the clean features. `adapters` are the planted
/// teacher's by layer, `images` are batches `[B, 3, H, W]`; all on one device without
/// autodiff.
///
/// A patch counts as an artifact where planting changed its token after
/// [`Settings::block`] by more than the median norm of the clean patches there.
///
/// # Errors
/// [`Error::Setting`] for a block the teacher lacks or a quantile outside 0 to 1,
/// [`Error::Incompatible`] for models and adapters that do not fit each other,
/// [`Error::NoArtifacts`], [`Error::NoImages`], [`Error::Svd`]; errors of the device.
pub fn measure(
    clean: &Vit,
    planted: &Vit,
    adapters: &Adapters,
    images: &[Tensor<4>],
    settings: &Settings,
) -> Result<Vec<Recovery>> {
    let depth = clean.depth();
    check(clean, planted, adapters, settings)?;
    let device = planted.device();
    let closed = |layer: usize| -> Result<TrainingFree> {
        let reader = next_block(layer, depth);
        let selection =
            Selection { kind: BasisKind::Smallest, rank: settings.rank, threshold: 0.0, seed: 0 };
        let basis = Basis::select(&Linearised::of(&planted.blocks[reader]), &selection, reader)?;
        Ok(TrainingFree::new(&basis, 1.0, &device))
    };
    let closed = adapters.iter().map(|(layer, _)| closed(layer)).collect::<Result<Vec<_>>>()?;

    let prefix = clean.prefix_tokens();
    let limit = median_norm(clean, images, settings.block)?;
    let blocks: Vec<usize> = (settings.block..depth).collect();
    let mut tally = Tally::default();
    for batch in images {
        let truth = clean.intermediate(batch.clone(), &blocks);
        let spoilt = planted.intermediate(batch.clone(), &blocks);
        let change = patch_norms(spoilt[0].clone() - truth[0].clone(), prefix);
        let artifact: Vec<bool> = read(change)?.into_iter().map(|norm| norm > limit).collect();
        for ((layer, adapter), closed) in adapters.iter().zip(&closed) {
            let given = Treated {
                tokens: spoilt[layer - settings.block].clone(),
                prefix,
                quantile: settings.quantile,
                adapter,
                closed,
            };
            for treatment in Treatment::ALL {
                let mut tokens = given.treat(treatment);
                for block in layer..depth {
                    if block > layer {
                        tokens = planted.forward_blocks(tokens, block..block + 1);
                    }
                    let wanted = truth[block - settings.block].clone();
                    let key = (layer, block, treatment);
                    tally.add(key, tokens.clone(), wanted, prefix, &artifact)?;
                }
            }
        }
    }
    let found = tally.recoveries();
    if found.iter().any(|recovery| recovery.artifacts.patches == 0) {
        return Err(Error::NoArtifacts);
    }
    Ok(found)
}

fn check(clean: &Vit, planted: &Vit, adapters: &Adapters, settings: &Settings) -> Result<()> {
    let shape = |vit: &Vit| (vit.depth(), vit.embed_dim(), vit.prefix_tokens());
    if shape(clean) != shape(planted) {
        return Err(Error::incompatible("the clean and the planted teacher have different shapes"));
    }
    settings.check(clean.depth())?;
    for (layer, adapter) in adapters.iter() {
        let [width, rank] = adapter.down.dims();
        if !(settings.block..clean.depth()).contains(&layer) {
            return Err(Error::incompatible(format!(
                "an adapter is for layer {layer}, and artifacts reach layers {} to {}",
                settings.block,
                clean.depth() - 1
            )));
        }
        if width != clean.embed_dim() || adapter.up.dims() != [rank, width] {
            return Err(Error::incompatible(format!(
                "the adapter of layer {layer} is for tokens of width {width}, and the teacher's have {}",
                clean.embed_dim()
            )));
        }
    }
    Ok(())
}

fn median_norm(clean: &Vit, images: &[Tensor<4>], block: usize) -> Result<f32> {
    let mut norms = Vec::new();
    for batch in images {
        let tokens = clean.intermediate(batch.clone(), &[block]).remove(0);
        norms.extend(read(patch_norms(tokens, clean.prefix_tokens()))?);
    }
    upper_median(&norms).ok_or(Error::NoImages)
}
