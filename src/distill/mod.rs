//! Ways to distil a teacher into a student, in one loop: data, order, augmentation,
//! optimiser, schedule, checkpoints and metrics are the same for all of them.
//!
//! A method is one file that implements [`Method`]: what it trains besides the student, and
//! its loss. [`singer`] is the paper's; [`FeatureDistillation`] (FitNet, cosine, normalised
//! features), [`Kd`], [`Relational`], [`Proteus`], [`Vitkd`] and [`LabelsOnly`] are the baselines. [`Distillation`] makes a [`Task`] of any of them for
//! [`train`](crate::train::train), and can add labels. `examples/own_method.rs` shows one
//! from outside this library.

#[cfg(not(target_family = "wasm"))]
mod cache;
mod features;
mod kd;
mod labels;
mod mapping;
mod projection;
mod proteus;
mod relational;
#[cfg(not(target_family = "wasm"))]
mod save;
pub mod singer;
mod teacher;
mod vitkd;

#[cfg(not(target_family = "wasm"))]
pub use cache::TeacherCache;
pub use features::{
    Distance, FeatureDistillation, FeatureModel, FitnetSettings, NormalisedSettings,
};
pub use kd::{Kd, KdSettings, soft_target_kl};
pub use labels::LabelsOnly;
pub use mapping::{Mapping, map_layers, with_last_layer};
pub use projection::new_projections;
pub use proteus::{Head, Proteus, ProteusModel, ProteusSettings};
pub use relational::{Relational, RelationalModel, RelationalSettings, queue_size};
#[cfg(not(target_family = "wasm"))]
pub(crate) use save::save_parts;
pub use teacher::{Teacher, as_constant};
pub use vitkd::{Generator, Vitkd, VitkdModel, VitkdSettings};

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[cfg(not(target_family = "wasm"))]
use crate::error::NotFiniteIn;
use crate::error::{Error, Result};
use crate::train::{Loss, Shard, Task, label_loss};
use crate::vit::Vit;

/// A way to distil a teacher into a student.
pub trait Method: Sync {
    /// All that is trained: the student, and what the method adds.
    type Model: Module + Sync;

    /// The student.
    fn student<'a>(&self, model: &'a Self::Model) -> &'a Vit;

    /// The student's blocks whose tokens the loss wants.
    fn student_layers(&self) -> &[usize];

    /// The frozen teacher, where there is one.
    fn teacher(&self) -> Option<&Vit> {
        None
    }

    /// Whether the loss wants the student's logits.
    fn wants_logits(&self) -> bool {
        false
    }

    /// The loss on some images of a batch, as values: the trainer weights the terms, adds
    /// up the shards of the batch and goes backward.
    fn loss(&self, model: &Self::Model, inputs: LossInputs<'_>) -> Loss;

    /// The counts of the ratios in [`loss`](Self::loss), in the order of terms and ratios,
    /// `[1]` each; none where only the loss itself tells them. A batch that goes in
    /// micro-batches needs them before the first loss
    /// ([`Task::counts`]).
    fn counts(&self, _model: &Self::Model, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        None
    }

    /// The model after a batch whose losses had remembered rows: [`Task::remember`].
    fn remember(&self, model: Self::Model, _rows: Tensor<2>) -> Self::Model {
        model
    }

    /// What was trained besides the student, by the names in a run's file.
    fn parts(&self, model: &Self::Model) -> Vec<(String, TensorData)>;
}

/// What a loss is made from.
#[derive(Debug)]
pub struct LossInputs<'a> {
    /// `[B, 3, H, W]` on the plain device, for the teacher.
    pub images: Tensor<4>,
    /// The student's tokens leaving each of [`Method::student_layers`], `[B, T, D_S]`, in the
    /// training graph.
    pub tokens: Vec<Tensor<3>>,
    /// The student's logits `[B, C]` in the training graph, where wanted.
    pub logits: Option<Tensor<2>>,
    /// The class of each image.
    pub labels: &'a [usize],
    /// The batch's number, from 0.
    pub step: usize,
    /// The place of the first image in its batch. Randomness must follow from the run's
    /// seed, the step and an image's place.
    pub first: usize,
}

/// A method as a task of the training loop.
#[derive(Debug)]
pub struct Distillation<M> {
    /// The method.
    pub method: M,
    /// Weight of the cross-entropy with the labels, added to the method's loss; 0 to train
    /// without labels.
    pub label_weight: f64,
}

impl<M: Method> Distillation<M> {
    /// Without labels.
    pub fn new(method: M) -> Self {
        Self { method, label_weight: 0.0 }
    }

    /// Whether the student's head is trained.
    pub fn trains_head(&self) -> bool {
        self.label_weight > 0.0 || self.method.wants_logits()
    }

    /// The blocks of a student of `depth` blocks that get no gradient: those after the last
    /// one that the loss wants.
    pub fn untrained_blocks(&self, depth: usize) -> Range<usize> {
        let after = |layers: &[usize]| layers.iter().max().map_or(0, |&last| last + 1);
        let first = if self.trains_head() { depth } else { after(self.method.student_layers()) };
        first..depth
    }
}

impl<M: Method> Task for Distillation<M> {
    type Model = M::Model;

    fn loss(&self, model: &M::Model, shard: Shard<'_>) -> Loss {
        let Shard { images, labels, step, first, recompute } = shard;
        let student = self.method.student(model);
        let mut layers = self.method.student_layers().to_vec();
        if self.trains_head() {
            layers.push(student.depth() - 1);
        }
        let (mut tokens, recompute) = match recompute {
            true => {
                let (tokens, rest) = student.intermediate_recomputed(images.clone(), &layers);
                (tokens, Some(rest))
            }
            false => {
                let pixels = as_constant(images.clone(), &student.device());
                (student.intermediate(pixels, &layers), None)
            }
        };
        let logits = match self.trains_head() {
            true => tokens.pop().map(|tokens| student.logits(tokens)),
            false => None,
        };
        let inputs = LossInputs { images, tokens, logits: logits.clone(), labels, step, first };
        let mut loss = self.method.loss(model, inputs);
        if let Some(logits) = logits.filter(|_| self.label_weight > 0.0) {
            let from_labels = label_loss("labels", self.label_weight, logits, labels, 0.0);
            loss.terms.extend(from_labels.terms);
            loss.observations.extend(from_labels.observations);
        }
        loss.recompute = recompute;
        loss
    }

    fn counts(&self, model: &M::Model, shard: Shard<'_>) -> Vec<Tensor<1>> {
        // Labels add a mean, and no ratio.
        let known = self.method.counts(model, &shard);
        known.unwrap_or_else(|| self.loss(model, shard).counts())
    }

    fn remember(&self, model: M::Model, rows: Tensor<2>) -> M::Model {
        self.method.remember(model, rows)
    }

    #[cfg(not(target_family = "wasm"))]
    fn not_finite_in(&self, images: &Tensor<4>) -> Result<NotFiniteIn> {
        match self.method.teacher() {
            Some(vit) => teacher::not_finite_in(vit, images),
            None => Ok(NotFiniteIn::Beyond { largest: 0.0 }),
        }
    }
}

/// Random numbers that follow from `words` alone, as a rule the seed, the step, an image's
/// place in its batch and a layer.
fn image_rng(words: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

/// Mean squared difference over all elements: `[B, T, D]` twice to `[1]`.
pub fn mse(a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
    (a - b).square().mean()
}

/// Rejects a student whose tokens do not match the teacher's one by one; both are counts of
/// prefix and patch tokens.
///
/// # Errors
/// [`Error::Tokens`].
pub fn check_tokens(teacher: [usize; 2], student: [usize; 2]) -> Result<()> {
    match teacher == student {
        true => Ok(()),
        false => Err(Error::Tokens { teacher, student }),
    }
}

/// Rejects a weight that cannot work; `name` is the setting's.
fn check_weight(name: &'static str, weight: f64) -> Result<()> {
    match weight.is_finite() && weight >= 0.0 {
        true => Ok(()),
        false => Err(Error::setting(name, weight, "it must be 0 or more")),
    }
}
