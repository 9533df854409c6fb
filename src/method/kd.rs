use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

use super::{Lesson, Method, Teacher, check_weight};
use crate::distill::onto;
use crate::error::{Error, Result};
use crate::loss::soft_target_kl;
use crate::train::{Part, TaskLoss};
use crate::vit::Vit;

/// Settings of [`Kd`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// [`Error::Config`] where either has no head or their classes differ in
    /// number, and for settings that cannot work.
    pub fn new(teacher: Teacher, student: &Vit, settings: KdSettings) -> Result<Self> {
        check_weight("kd.weight", settings.weight)?;
        if !(settings.temperature.is_finite() && settings.temperature > 0.0) {
            return Err(Error::config(format!(
                "kd.temperature is {}; it must be above 0",
                settings.temperature
            )));
        }
        let classes = |vit: &Vit| vit.head.as_ref().map(|head| head.weight.dims()[1]);
        match (classes(teacher.vit()), classes(student)) {
            (None, _) => Err(Self::headless_teacher()),
            (Some(teacher), student) if student != Some(teacher) => Err(Error::config(format!(
                "the teacher's head has {teacher} classes and the student's {}; set student.num_classes to {teacher}",
                student.unwrap_or(0)
            ))),
            _ => Ok(Self { teacher, settings }),
        }
    }

    /// What to say where the teacher has lost its head.
    pub fn headless_teacher() -> Error {
        Error::config(
            "the teacher has no head (its classifier was lost, or it never had one), and method kd distils logits: \
             use weights that kept their head, or a method that distils features (singer, fitnet, vitkd)",
        )
    }
}

impl Method for Kd {
    type Model = Vit;

    fn student<'a>(&self, model: &'a Vit) -> &'a Vit {
        model
    }

    fn student_layers(&self) -> &[usize] {
        &[]
    }

    fn wants_logits(&self) -> bool {
        true
    }

    fn loss(&self, model: &Vit, lesson: Lesson<'_>, part: &Part<'_>) -> TaskLoss {
        let student = lesson.logits.expect("logits were asked for");
        let teacher = onto(self.teacher.logits(lesson.images), &model.device());
        let KdSettings { temperature, weight } = self.settings;
        let total = soft_target_kl(student, teacher, temperature) * (weight * part.fraction);
        TaskLoss { terms: vec![("kd", total.clone().inner())], extra: Vec::new(), total }
    }

    fn parts(&self, _model: &Vit) -> Vec<(String, TensorData)> {
        Vec::new()
    }
}
