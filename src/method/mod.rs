//! Ways to distil, in one loop: data, order, augmentation, optimiser, schedule,
//! checkpoints and metrics are the same for all of them.
//!
//! A method is one file that implements [`Method`]: what it trains besides the
//! student, and its loss. [`Distillation`] makes a [`Task`] of it for
//! [`train`](crate::train::train), and can add labels to any of them.
//! `examples/own_method.rs` shows one from outside this library.

mod fit;
mod fitnet;
mod kd;
mod labels_only;
mod singer;
mod teacher;
mod vitkd;

pub use fit::{FitProgress, FitSettings, Fitted, fit_adapters};
pub use fitnet::{Fitnet, FitnetModel, FitnetSettings};
pub use kd::{Kd, KdSettings};
pub use labels_only::LabelsOnly;
pub use singer::Singer;
pub use teacher::Teacher;
pub use vitkd::{Generator, Vitkd, VitkdModel, VitkdSettings};

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};

use crate::distill::onto;
use crate::error::{Error, Result};
use crate::loss::{cross_entropy, hit_rate};
use crate::train::{Part, Task, TaskLoss};
use crate::vit::Vit;

/// A way to distil a teacher into a student.
pub trait Method: Sync {
    /// All that is trained: the student, and what the method adds.
    type Model: Module + Sync;

    /// The student.
    fn student<'a>(&self, model: &'a Self::Model) -> &'a Vit;

    /// The student's blocks whose tokens the loss wants.
    fn student_layers(&self) -> &[usize];

    /// Whether the loss wants the student's logits.
    fn wants_logits(&self) -> bool {
        false
    }

    /// This part's contribution to the loss of its batch, such that those of all
    /// parts add up to it. Randomness must follow from the run's seed and the
    /// place of an image ([`Part::step`], [`Part::first`]), so that a resumed run
    /// goes on exactly.
    fn loss(&self, model: &Self::Model, lesson: Lesson<'_>, part: &Part<'_>) -> TaskLoss;

    /// What was trained besides the student, by the names in a run's file.
    fn parts(&self, model: &Self::Model) -> Vec<(String, TensorData)>;
}

/// What a loss is made from, for one part of a batch.
pub struct Lesson<'a> {
    /// `[B, 3, H, W]` on the plain device, for the teacher.
    pub images: Tensor<4>,
    /// The student's tokens leaving each of [`Method::student_layers`],
    /// `[B, T, D_S]`, in the training graph.
    pub tokens: Vec<Tensor<3>>,
    /// The student's logits `[B, C]` in the training graph, where wanted.
    pub logits: Option<Tensor<2>>,
    /// The class of each image.
    pub labels: &'a [usize],
}

/// A method as a task of the training loop.
#[derive(Debug)]
pub struct Distillation<M> {
    /// The method.
    pub method: M,
    /// Weight of the cross-entropy with the labels, added to the method's loss;
    /// 0 to train without labels.
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
}

impl<M: Method> Task for Distillation<M> {
    type Model = M::Model;

    fn loss(
        &self,
        model: &M::Model,
        images: Tensor<4>,
        labels: &[usize],
        part: &Part<'_>,
    ) -> TaskLoss {
        let student = self.method.student(model);
        let mut layers = self.method.student_layers().to_vec();
        if self.trains_head() {
            layers.push(student.depth() - 1);
        }
        let pixels = onto(images.clone(), &student.device());
        let mut tokens = student.intermediate(pixels, &layers);
        let logits = match self.trains_head() {
            true => tokens.pop().map(|tokens| student.logits(tokens)),
            false => None,
        };
        let lesson = Lesson { images, tokens, logits: logits.clone(), labels };
        let mut loss = self.method.loss(model, lesson, part);
        if let Some(logits) = logits.filter(|_| self.label_weight > 0.0) {
            let from_labels = label_loss(logits, labels, self.label_weight, part);
            loss.total = loss.total + from_labels.total;
            loss.terms.extend(from_labels.terms);
            loss.extra.extend(from_labels.extra);
        }
        loss
    }
}

/// Weighted cross-entropy with the labels, and the share of images put into
/// their class.
fn label_loss(logits: Tensor<2>, labels: &[usize], weight: f64, part: &Part<'_>) -> TaskLoss {
    let accuracy = hit_rate(logits.clone(), labels) * part.fraction;
    let total = cross_entropy(logits, labels, 0.0) * (part.fraction * weight);
    TaskLoss {
        terms: vec![("labels", total.clone().inner())],
        extra: vec![("accuracy", accuracy.inner())],
        total,
    }
}

/// A projection under its layer's name, in PyTorch's layout `[out, in]`.
fn projection_parts(prefix: &str, layer: usize, projection: &Linear) -> Vec<(String, TensorData)> {
    let weight = projection.weight.val().transpose().into_data();
    let bias = projection.bias.as_ref().map(|bias| bias.val().into_data());
    let named = |what: &str, data| (format!("{prefix}.{layer}.{what}"), data);
    std::iter::once(named("weight", weight)).chain(bias.map(|bias| named("bias", bias))).collect()
}

/// Rejects a weight that cannot work; `name` is the setting's.
fn check_weight(name: &str, weight: f64) -> Result<()> {
    match weight.is_finite() && weight >= 0.0 {
        true => Ok(()),
        false => Err(Error::config(format!("{name} is {weight}; it must be 0 or more"))),
    }
}
