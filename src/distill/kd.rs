use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{LossInputs, Method, Teacher, as_constant, check_weight};
use crate::error::{Error, Result};
use crate::train::{Loss, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Kd`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KdSettings {
    /// Divides the logits of both sides before the softmax.
    pub temperature: f64,
    /// Weight of the loss.
    pub weight: f64,
}

impl Default for KdSettings {
    /// Temperature 4, as most comparisons of distillation methods have it.
    fn default() -> Self {
        Self { temperature: 4.0, weight: 1.0 }
    }
}

impl KdSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::KdSettings::default().with(|s| s.temperature = 2.0);
    /// assert_eq!((settings.temperature, settings.weight), (2.0, 1.0));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Distillation of logits (Hinton, Vinyals and Dean 2015, arXiv 1503.02531):
/// `T² KL(softmax(z_T / T) ‖ softmax(z_S / T))`.
#[derive(Debug)]
pub struct Kd {
    teacher: Teacher,
    settings: KdSettings,
}

impl Kd {
    /// From a teacher with a head, into a student with as many classes.
    ///
    /// # Errors
    /// [`Error::NoHead`] where the teacher has none, [`Error::Classes`] where the two have
    /// another number of classes, [`Error::Setting`] for settings that cannot work.
    pub fn new(teacher: Teacher, student: &Vit, settings: KdSettings) -> Result<Self> {
        check_weight("kd.weight", settings.weight)?;
        if !(settings.temperature.is_finite() && settings.temperature > 0.0) {
            let expected = "it must be above 0";
            return Err(Error::setting("temperature", settings.temperature, expected));
        }
        let classes = |vit: &Vit| vit.head.as_ref().map(|head| head.weight.dims()[1]);
        match (classes(teacher.vit()), classes(student)) {
            (None, _) => Err(Error::NoHead),
            (Some(teacher), student) if student != Some(teacher) => {
                Err(Error::Classes { teacher, student: student.unwrap_or(0) })
            }
            _ => Ok(Self { teacher, settings }),
        }
    }
}

impl Method for Kd {
    type Model = Vit;

    fn student<'a>(&self, model: &'a Vit) -> &'a Vit {
        model
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &[]
    }

    fn wants_logits(&self) -> bool {
        true
    }

    fn loss(&self, model: &Vit, inputs: LossInputs<'_>) -> Loss {
        let student = inputs.logits.expect("logits were asked for");
        let teacher = as_constant(self.teacher.logits(inputs.images), &model.device());
        let KdSettings { temperature, weight } = self.settings;
        Loss::of(Term::mean("kd", weight, soft_target_kl(student, teacher, temperature)))
    }

    fn counts(&self, _model: &Vit, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        Some(Vec::new())
    }

    fn parts(&self, _model: &Vit) -> Vec<(String, TensorData)> {
        Vec::new()
    }
}

/// `T² KL(teacher ‖ student)` of softened probabilities, mean over images
/// (Hinton et al. 2015): logits `[B, C]` twice to `[1]`. T² keeps the size of
/// gradients when the temperature changes.
pub fn soft_target_kl(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    kl_of_rows(student / temperature, teacher / temperature) * (temperature * temperature)
}

/// `KL(softmax(teacher) ‖ softmax(student))`, mean over rows: `[N, C]` twice to `[1]`.
pub(super) fn kl_of_rows(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let count = student.dims()[0] as f64;
    let (student, teacher) = (log_softmax(student, 1), log_softmax(teacher, 1));
    let divergence = teacher.clone().exp() * (teacher - student);
    divergence.sum() / count
}
