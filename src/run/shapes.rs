//! The shapes of teacher and student that a distillation's settings ask for.

use super::{DistillConfig, MethodKind};
use crate::distill::check_tokens;
use crate::error::{Error, Result};
use crate::model::{ImageSize, ModelSpec, ResolvedModel};

/// The student, for data of `classes` classes where they are known yet. Its image size follows
/// the teacher's unless the settings say otherwise, and so does a new student's patch size.
pub(super) fn student(
    config: &DistillConfig,
    teacher: Option<&ResolvedModel>,
    classes: Option<usize>,
) -> Result<ResolvedModel> {
    let head = classes.map(|classes| head(config, teacher, classes)).transpose()?;
    let mut spec = with_classes(&config.student, head.unwrap_or(0));
    if let Some(teacher) = teacher {
        spec.img_size = spec.img_size.or(Some(ImageSize::Sides(teacher.config.img_size)));
        if spec.weights.is_none() {
            spec.patch_size = spec.patch_size.or(Some(teacher.config.patch_size));
        }
    }
    let student = spec.resolve_for("student")?;
    let Some(teacher) = teacher else { return Ok(student) };
    let size = student.config.img_size;
    if teacher.config.img_size != size {
        return Err(Error::ImageSizes { teacher: teacher.config.img_size, student: size });
    }
    if !matches!(config.method, MethodKind::None | MethodKind::Kd) {
        let counts = |shape: &ResolvedModel| [shape.config.prefix_tokens(), shape.config.patches()];
        check_tokens(counts(teacher), counts(&student))?;
    }
    Ok(student)
}

/// A model spec with as many classes as the data where it does not say.
pub(super) fn with_classes(spec: &ModelSpec, classes: usize) -> ModelSpec {
    ModelSpec { num_classes: spec.num_classes.or(Some(classes)), ..spec.clone() }
}

/// Classes of the student's head; 0 where nothing trains one.
fn head(config: &DistillConfig, teacher: Option<&ResolvedModel>, classes: usize) -> Result<usize> {
    let weight = config.label_weight;
    if !(weight.is_finite() && weight >= 0.0) {
        return Err(Error::setting("label_weight", weight, "it must be 0 or more"));
    }
    let alone = config.method == MethodKind::None;
    let labels = weight > 0.0 || alone;
    if labels && classes == 0 {
        return Err(Error::NoLabels);
    }
    let teacher = teacher.filter(|_| config.method == MethodKind::Kd);
    let wanted = match teacher.map(|teacher| teacher.config.num_classes) {
        Some(0) => return Err(Error::NoHead),
        Some(known) if labels && known != classes => {
            let (head, reason) = ("the teacher's head", "labels cannot be used beside its logits");
            return Err(Error::DataClasses { head, known, classes, reason });
        }
        Some(known) => known,
        None if alone && weight > 0.0 => {
            let expected = "training is on labels alone without a method: leave it out";
            return Err(Error::setting("label_weight", weight, expected));
        }
        None if labels => classes,
        None => 0,
    };
    match config.student.num_classes {
        Some(known) if labels && known < classes => {
            let (head, reason) = ("the student's head", "it needs at least as many");
            Err(Error::DataClasses { head, known, classes, reason })
        }
        _ => Ok(wanted),
    }
}
