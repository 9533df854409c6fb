//! How much of a teacher's clean features comes back when planted artifacts are
//! refined, clipped or replaced by the mean of the other patches.
//!
//! [`Experiment::run`] does it all; `report::recover` (feature `figures`) writes what
//! it finds as a table and a chart.
//!
//! Where artifacts are planted ([`plant`](crate::plant)), the clean teacher tells the true
//! value of every token: the teacher without the hidden units that planting took. Each
//! treatment is applied to the planted teacher's features, of one layer or of the whole
//! pass. The result is compared with the clean features there and after every later
//! block, separately for patches with an artifact, for the others, and for the class token.

mod distance;
mod experiment;
mod summary;
mod treatment;

pub use distance::Errors;
pub use experiment::{Case, Event, Experiment, Findings, GivenTeacher, Images, Subject};
pub use summary::{Spread, Summary};
pub use treatment::{Treated, Treatment};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::readback::read;
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use crate::refine::{Adapters, Refiner, Sensitivity, TrainingFree};
use crate::statistics::upper_median;
use crate::tokens::patch_norms;
use crate::vit::Vit;
use distance::{Carriers, Tally};

/// What is compared.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settings {
    /// The block in whose features treatments of one layer are applied, besides the last; where
    /// nothing was planted, also the first one compared.
    pub block: usize,
    /// γ: a patch whose norm exceeds this quantile of its image's norms is an outlier.
    pub quantile: f64,
    /// Rank of the bases of the training-free refinement.
    pub rank: usize,
    /// Their kind.
    #[serde(default)]
    pub basis: BasisKind,
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

/// A teacher with artifacts beside its clean version, both on one device without autodiff.
#[derive(Debug, Clone, Copy)]
pub struct Teachers<'a> {
    /// The truth.
    pub clean: &'a Vit,
    /// The same with artifacts.
    pub planted: &'a Vit,
    /// The blocks into which artifacts were planted, ascending; empty where there are none,
    /// to see what treatments do to a clean teacher.
    pub blocks: &'a [usize],
}

/// What is done to the planted teacher, made beforehand.
#[derive(Debug, Default)]
pub struct Treatments {
    /// Those that need nothing but the features: raw, training-free, clipped, replaced by the
    /// mean. Others are ignored.
    pub plain: Vec<Treatment>,
    /// Adapters by layer, each applied to raw features of its layer.
    pub adapters: Vec<(Treatment, Adapters)>,
    /// Treatments of the whole pass, whose later blocks read treated tokens.
    pub whole: Vec<(Treatment, Refiner)>,
}

/// How far one treatment's features are from the clean ones after one block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recovery {
    /// The layer whose features were treated; none for treatments of the whole pass.
    pub layer: Option<usize>,
    /// The block after which the outcome was compared; `layer` or a later one.
    pub block: usize,
    /// The treatment.
    pub treatment: Treatment,
    /// On patches with a planted artifact.
    pub artifacts: Errors,
    /// On all other patches.
    #[serde(alias = "clean")]
    pub others: Errors,
    /// On all patches.
    #[serde(default)]
    pub all: Errors,
    /// On the class token, where the teacher has one.
    #[serde(default)]
    pub class_token: Option<ClassToken>,
}

/// Errors of class tokens, which stand for one token an image.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ClassToken {
    /// Of images whose class token carries an artifact.
    pub artifacts: Errors,
    /// Of all images.
    pub all: Errors,
}

/// Compares every treatment with the clean features on `images`, batches `[B, 3, H, W]`.
///
/// A token counts as an artifact where its value after the last planted block up to there
/// differs from the clean one by more than the median norm of the clean patches after that
/// block.
///
/// # Errors
/// [`Error::Setting`] for a block the teacher lacks or a quantile outside 0 to 1,
/// [`Error::Incompatible`] for models and adapters that do not fit each other,
/// [`Error::NoArtifacts`], [`Error::NoImages`], [`Error::Svd`]; errors of the device.
pub fn measure(
    teachers: Teachers<'_>,
    treatments: &Treatments,
    images: &[Tensor<4>],
    settings: &Settings,
) -> Result<Vec<Recovery>> {
    let Teachers { clean, planted, blocks: spoilt_blocks } = teachers;
    let depth = clean.depth();
    check(teachers, settings)?;
    let first = spoilt_blocks.first().copied().unwrap_or(settings.block);
    for (_, adapters) in &treatments.adapters {
        check_adapters(clean, adapters, first)?;
    }
    let mut layers = spoilt_blocks.to_vec();
    layers.extend([settings.block, depth - 1]);
    layers.sort_unstable();
    layers.dedup();
    let device = planted.device();
    let training_free = |layer: usize| -> Result<TrainingFree> {
        let reader = next_block(layer, depth);
        let Settings { rank, basis: kind, .. } = *settings;
        let basis = match kind {
            BasisKind::Data => Sensitivity::of(planted, layer, images, 0)?.basis(rank)?,
            _ => {
                let selection = Selection { kind, rank, threshold: 0.0, seed: 0 };
                Basis::select(&Linearised::of(&planted.blocks[reader]), &selection, reader)?
            }
        };
        Ok(TrainingFree::new(&basis, 1.0, &device))
    };
    let training_free: Vec<TrainingFree> =
        layers.iter().map(|&layer| training_free(layer)).collect::<Result<_>>()?;

    let prefix = clean.prefix_tokens();
    let limits = median_norms(clean, images, spoilt_blocks)?;
    let blocks: Vec<usize> = (first..depth).collect();
    let mut tally = Tally::default();
    for batch in images {
        let truth = clean.intermediate(batch.clone(), &blocks);
        let spoilt = planted.intermediate(batch.clone(), &blocks);
        let mut carriers: Vec<Carriers> = Vec::with_capacity(blocks.len());
        for ((block, truth), spoilt) in blocks.iter().zip(&truth).zip(&spoilt) {
            let limit = spoilt_blocks.iter().position(|planted| planted == block);
            carriers.push(match (limit, carriers.last()) {
                (None, Some(before)) => before.clone(),
                (limit, _) => {
                    let limit = limit.map_or(f32::INFINITY, |at| limits[at]);
                    carriers_of(clean, truth.clone(), spoilt.clone(), limit)?
                }
            });
        }
        let at = |block: usize| block - first;
        for (&layer, training_free) in layers.iter().zip(&training_free) {
            let tokens = spoilt[at(layer)].clone();
            let given = Treated {
                tokens: tokens.clone(),
                prefix,
                quantile: settings.quantile,
                training_free,
            };
            let plain = treatments.plain.iter().filter_map(|&one| Some((one, given.treat(one)?)));
            let adapted = treatments.adapters.iter().filter_map(|(one, adapters)| {
                Some((*one, adapters.get(layer)?.forward(tokens.clone(), prefix)))
            });
            for (treatment, mut tokens) in plain.chain(adapted) {
                for block in layer..depth {
                    if block > layer {
                        tokens = planted.forward_blocks(tokens, block..block + 1);
                    }
                    let wanted = truth[at(block)].clone();
                    let key = (Some(layer), block, treatment);
                    tally.add(key, tokens.clone(), wanted, prefix, &carriers[at(block)])?;
                }
            }
        }
        for (treatment, refiner) in &treatments.whole {
            let found = refiner.intermediate(planted, batch.clone(), &blocks);
            for (&block, tokens) in blocks.iter().zip(found) {
                let (key, wanted) = ((None, block, *treatment), truth[at(block)].clone());
                tally.add(key, tokens, wanted, prefix, &carriers[at(block)])?;
            }
        }
    }
    let found = tally.recoveries();
    let none = |recovery: &Recovery| recovery.artifacts.tokens == 0;
    if !spoilt_blocks.is_empty() && found.iter().any(none) {
        return Err(Error::NoArtifacts);
    }
    Ok(found)
}

/// The tokens whose change is above a limit.
fn carriers_of(vit: &Vit, clean: Tensor<3>, spoilt: Tensor<3>, limit: f32) -> Result<Carriers> {
    let (tokens, prefix) = (clean.dims()[1], vit.prefix_tokens());
    let changed = read(patch_norms(spoilt - clean, 0))?;
    let images = changed.chunks(tokens);
    let patches = images.clone().flat_map(|image| &image[prefix..]).map(|norm| *norm > limit);
    let class = || images.clone().map(|image| image[0] > limit).collect();
    Ok(Carriers { patches: patches.collect(), class_tokens: vit.cls_token.is_some().then(class) })
}

fn check(teachers: Teachers<'_>, settings: &Settings) -> Result<()> {
    let Teachers { clean, planted, blocks } = teachers;
    let shape = |vit: &Vit| (vit.depth(), vit.embed_dim(), vit.prefix_tokens());
    if shape(clean) != shape(planted) {
        return Err(Error::incompatible("the clean and the planted teacher have different shapes"));
    }
    settings.check(clean.depth())?;
    blocks.iter().try_for_each(|&block| Settings { block, ..*settings }.check(clean.depth()))
}

fn check_adapters(clean: &Vit, adapters: &Adapters, first: usize) -> Result<()> {
    for (layer, adapter) in adapters.iter() {
        let [width, rank] = adapter.down.dims();
        if !(first..clean.depth()).contains(&layer) {
            return Err(Error::incompatible(format!(
                "an adapter is for layer {layer}, and artifacts reach layers {first} to {}",
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

/// The median norm of the patches after each of `blocks`.
fn median_norms(clean: &Vit, images: &[Tensor<4>], blocks: &[usize]) -> Result<Vec<f32>> {
    if images.is_empty() {
        return Err(Error::NoImages);
    }
    let mut norms = vec![Vec::new(); blocks.len()];
    for batch in images.iter().filter(|_| !blocks.is_empty()) {
        for (norms, tokens) in norms.iter_mut().zip(clean.intermediate(batch.clone(), blocks)) {
            norms.extend(read(patch_norms(tokens, clean.prefix_tokens()))?);
        }
    }
    norms.iter().map(|norms| upper_median(norms).ok_or(Error::NoImages)).collect()
}
