#[cfg(not(target_family = "wasm"))]
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::losses::{Outliers, gram_mse, identity, outliers};
use super::settings::{LossForm, SingerSettings};
#[cfg(not(target_family = "wasm"))]
use crate::distill::TeacherCache;
#[cfg(not(target_family = "wasm"))]
use crate::distill::teacher::summaries;
use crate::distill::{Teacher, as_constant, mse};
use crate::error::Result;
use crate::refine::Adapter;
use crate::refine::nullspace::next_block;
use crate::tokens::NormSummary;
#[cfg(not(target_family = "wasm"))]
use crate::tokens::{NormStats, patch_norms};
use crate::train::{Ratio, Term};
use crate::vit::{Block, Precision, Vit};

/// A frozen teacher whose features are refined, with the losses that judge the refined
/// features alone.
#[derive(Debug)]
pub struct Refinement {
    teacher: Teacher,
    /// The block after each layer, as constants of the training graph; none after the last.
    next_blocks: Vec<Option<Block>>,
    layers: Vec<usize>,
    settings: SingerSettings,
    training: Device,
}

/// The teacher's features of a batch, by distilled layer.
#[derive(Debug, Clone)]
pub struct TeacherFeatures {
    /// F_l, the tokens leaving each layer, `[B, T, D]`.
    pub layers: Vec<Tensor<3>>,
    /// `block_{l+1}(F_l)`, the tokens leaving the block after it; none for the last layer.
    pub next: Vec<Option<Tensor<3>>>,
}

impl TeacherFeatures {
    /// Bytes of all tokens in f32.
    pub fn bytes(&self) -> usize {
        let next = self.next.iter().flatten();
        self.layers.iter().chain(next).map(|tokens| 4 * tokens.shape().num_elements()).sum()
    }
}

/// One layer's refined features and the losses that judge them alone.
#[derive(Debug)]
pub struct RefinedLayer {
    /// F̂_l, `[B, T, D]`.
    pub tokens: Tensor<3>,
    /// `block_{l+1}(F̂_l)`, `[B, T, D]`; none for the last layer.
    pub next: Option<Tensor<3>>,
    /// The outlier loss.
    pub outliers: Outliers,
    /// The information loss in the configured form, `[1]`.
    pub information: Tensor<1>,
    /// The identity loss; none where it has no weight.
    pub identity: Option<Ratio>,
}

/// Patch norms of one distilled layer, raw and refined.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LayerNorms {
    /// The teacher's block.
    pub layer: usize,
    /// Its output as it is.
    pub raw: NormSummary,
    /// Its output refined by the adapter.
    pub refined: NormSummary,
}

impl Refinement {
    /// Prepares the refinement of a teacher on the plain device; `training` is the autodiff
    /// device on which adapters are trained.
    ///
    /// # Errors
    /// As [`SingerSettings::resolve_layers`].
    pub fn new(teacher: Vit, settings: &SingerSettings, training: &Device) -> Result<Self> {
        let layers = settings.resolve_layers(teacher.depth())?;
        let (settings, training) = (settings.clone(), training.clone());
        let teacher = Teacher::new(teacher);
        let next_blocks = Vec::new();
        Ok(Self { teacher, next_blocks, layers, settings, training }.with_next_blocks())
    }

    /// Runs the teacher, and the blocks after refined layers, with matrix products in `precision`.
    #[must_use]
    pub fn with_teacher_precision(self, precision: Precision) -> Self {
        Self { teacher: self.teacher.with_precision(precision), ..self }.with_next_blocks()
    }

    /// Reads what the teacher computes from a cache of this very teacher, or keeps it there.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn with_teacher_cache(self, cache: Option<Arc<dyn TeacherCache>>) -> Self {
        Self { teacher: self.teacher.with_cache(cache), ..self }
    }

    fn with_next_blocks(self) -> Self {
        let vit = self.teacher.vit();
        let block_after = |&layer: &usize| {
            let next = next_block(layer, vit.depth());
            (next > layer).then(|| vit.blocks[next].clone().fork(&self.training).freeze())
        };
        Self { next_blocks: self.layers.iter().map(block_after).collect(), ..self }
    }

    /// The refined layers, ascending; the last block is the last of them.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The settings.
    pub fn settings(&self) -> &SingerSettings {
        &self.settings
    }

    /// The teacher.
    pub fn teacher(&self) -> &Vit {
        self.teacher.vit()
    }

    /// The teacher's features of `[B, 3, H, W]`, without autodiff, up to the last block
    /// needed. What the next block gives for unrefined features comes with the same pass.
    pub fn features(&self, images: Tensor<4>) -> TeacherFeatures {
        let depth = self.teacher().depth();
        let with_next = |&layer: &usize| [layer, next_block(layer, depth)];
        let wanted: Vec<usize> = self.layers.iter().flat_map(with_next).collect();
        let mut tokens = self.teacher.tokens(images, &wanted).into_iter();
        let mut features = TeacherFeatures { layers: Vec::new(), next: Vec::new() };
        for next_block in &self.next_blocks {
            features.layers.extend(tokens.next());
            let next = tokens.next();
            features.next.push(next_block.as_ref().and(next));
        }
        features
    }

    /// The features refined by `adapters`, one for each of [`layers`](Self::layers), and
    /// the losses of each layer.
    pub fn refine(&self, adapters: &[Adapter], features: TeacherFeatures) -> Vec<RefinedLayer> {
        let prefix = self.teacher().prefix_tokens();
        let mut refined: Vec<RefinedLayer> = Vec::with_capacity(adapters.len());
        let layers = features.layers.into_iter().zip(features.next).zip(adapters);
        for (((raw, raw_next), adapter), next_block) in layers.zip(&self.next_blocks) {
            let device = adapter.down.device();
            let raw = as_constant(raw, &device);
            let raw_next = raw_next.map(|next| as_constant(next, &device));

            let tokens = adapter.forward(raw.clone(), prefix);
            let outliers = self.outliers(tokens.clone());
            let identity =
                self.keeps_clean().then(|| identity(tokens.clone(), raw.clone(), prefix));
            let next = next_block.as_ref().map(|block| block.forward(tokens.clone()));
            let before = refined.last().map(|before| before.tokens.clone());
            let information = match (self.settings.losses, &next, raw_next, before) {
                (LossForm::Paper, Some(next), Some(raw_next), _) => {
                    gram_mse(next.clone(), raw_next, prefix)
                }
                (LossForm::Reference, Some(next), Some(raw_next), _) => mse(next.clone(), raw_next),
                // The reference compares the last layer with the intermediate one before;
                // `resolve_layers` has made sure that there is one.
                (LossForm::Reference, .., Some(before)) => gram_mse(tokens.clone(), before, prefix),
                _ => gram_mse(tokens.clone(), raw, prefix),
            };
            refined.push(RefinedLayer { tokens, next, outliers, information, identity });
        }
        refined
    }

    /// How many outliers each layer has, which the outlier loss divides by, `[1]` each;
    /// `adapters` are on the plain device.
    pub(super) fn counts(
        &self,
        adapters: &[Adapter],
        features: &TeacherFeatures,
    ) -> Vec<Tensor<1>> {
        let prefix = self.teacher().prefix_tokens();
        let layers = adapters.iter().zip(&features.layers);
        let refined = layers.map(|(adapter, raw)| adapter.forward(raw.clone(), prefix));
        let outliers = refined.clone().map(|tokens| self.outliers(tokens).excess.count);
        let mut counts: Vec<_> = outliers.collect();
        if self.keeps_clean() {
            let inliers = refined.zip(&features.layers);
            counts
                .extend(inliers.map(|(refined, raw)| identity(refined, raw.clone(), prefix).count));
        }
        counts
    }

    fn outliers(&self, tokens: Tensor<3>) -> Outliers {
        let SingerSettings { outliers: rule, quantile, .. } = self.settings;
        outliers(tokens, self.teacher().prefix_tokens(), rule, quantile)
    }

    /// Whether there is an identity loss.
    fn keeps_clean(&self) -> bool {
        self.settings.weights.identity > 0.0
    }

    /// `λ_outlier L_outlier`, `λ_info L_info` and, where it has a weight, the identity loss over
    /// |D| (the reference's division by the number of layers).
    pub(super) fn terms(&self, mut refined: Vec<RefinedLayer>) -> Vec<Term> {
        let weights = self.settings.weights;
        let share = self.share();
        let identity: Vec<_> = refined.iter_mut().filter_map(|one| one.identity.take()).collect();
        let (excess, information): (Vec<_>, Vec<_>) =
            refined.into_iter().map(|layer| (layer.outliers.excess, layer.information)).unzip();
        let information = information.into_iter().reduce(|a, b| a + b);
        let mut terms = vec![
            Term::ratios("outlier", weights.outlier * share, excess),
            Term::mean("info", weights.info * share, information.expect("there is a last layer")),
        ];
        if !identity.is_empty() {
            terms.push(Term::ratios("identity", weights.identity * share, identity));
        }
        terms
    }

    /// 1 over |D|, the number of layers.
    pub(super) fn share(&self) -> f64 {
        1.0 / self.layers.len() as f64
    }

    /// Patch norms of raw and refined features over batches `[B, 3, H, W]`; `adapters` are
    /// on the plain device.
    ///
    /// # Errors
    /// Those of the batches, and [`Error::Gpu`](crate::Error::Gpu).
    #[cfg(not(target_family = "wasm"))]
    pub fn norms(
        &self,
        adapters: &[Adapter],
        batches: impl IntoIterator<Item = Result<Tensor<4>>>,
    ) -> Result<Vec<LayerNorms>> {
        let prefix = self.teacher().prefix_tokens();
        let mut stats = vec![[NormStats::default(), NormStats::default()]; self.layers.len()];
        for images in batches {
            let features = self.teacher.tokens(images?, &self.layers);
            for ((raw, adapter), [before, after]) in
                features.into_iter().zip(adapters).zip(&mut stats)
            {
                before.add(patch_norms(raw.clone(), prefix))?;
                after.add(patch_norms(adapter.forward(raw, prefix), prefix))?;
            }
        }
        Ok(summaries(&self.layers, stats))
    }
}
