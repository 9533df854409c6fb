//! The shapes of teacher and student that a distillation's settings ask for.

use super::config::{DistillConfig, MethodName};
use super::{models, session};
use crate::distill::check_tokens;
use crate::error::{Error, Result};
use crate::model::{ImageSize, ResolvedModel};

/// The teacher's; none where the method needs none and none is given.
pub(super) fn teacher(config: &DistillConfig) -> Result<Option<ResolvedModel>> {
    if config.teacher.weights.is_some() {
        return models::resolve(&config.teacher, "teacher").map(Some);
    }
    match config.method {
        MethodName::None => Ok(None),
        _ => Err(Error::config(
            "no teacher: set teacher.weights or --teacher (a safetensors file with timm's names, or hf-hub:OWNER/NAME)",
        )),
    }
}

/// The student's, for data of `classes` classes where they are known yet. A new
/// student's patches follow the teacher's unless the settings say otherwise.
pub(super) fn student(
    config: &DistillConfig,
    teacher: Option<&ResolvedModel>,
    classes: Option<usize>,
) -> Result<ResolvedModel> {
    let head = classes.map(|classes| head(config, teacher, classes)).transpose()?;
    let mut spec = session::with_classes(&config.student, head.unwrap_or(0));
    if let (None, Some(teacher)) = (&spec.weights, teacher) {
        spec.img_size = spec.img_size.or(Some(ImageSize::Sides(teacher.config.img_size)));
        spec.patch_size = spec.patch_size.or(Some(teacher.config.patch_size));
    }
    let student = models::resolve(&spec, "student")?;
    let Some(teacher) = teacher else { return Ok(student) };
    let size = student.config.img_size;
    if teacher.config.img_size != size {
        return Err(Error::config(format!(
            "the teacher takes {:?} pixels and the student {size:?}; set student.img_size to the teacher's",
            teacher.config.img_size
        )));
    }
    if !matches!(config.method, MethodName::None | MethodName::Kd) {
        let counts = |shape: &ResolvedModel| [shape.config.prefix_tokens(), shape.config.patches()];
        check_tokens(counts(teacher), counts(&student))?;
    }
    Ok(student)
}

/// Classes of the student's head; 0 where nothing trains one.
fn head(config: &DistillConfig, teacher: Option<&ResolvedModel>, classes: usize) -> Result<usize> {
    let weight = config.label_weight;
    if !(weight.is_finite() && weight >= 0.0) {
        return Err(Error::config(format!("label_weight is {weight}; it must be 0 or more")));
    }
    let labels = weight > 0.0 || config.method == MethodName::None;
    let teacher = teacher.filter(|_| config.method == MethodName::Kd);
    let wanted = match teacher.map(|teacher| teacher.config.num_classes) {
        Some(0) => return Err(Error::NoHead),
        Some(known) if labels && known != classes => {
            return Err(Error::config(format!(
                "the teacher's head has {known} classes and the data {classes}: labels cannot be used beside its logits; \
                 set label_weight to 0 or use the teacher's data"
            )));
        }
        Some(known) => known,
        None if config.method == MethodName::None && weight > 0.0 => {
            return Err(Error::config(
                "method none trains on labels alone; leave label_weight out",
            ));
        }
        None if labels => classes,
        None => 0,
    };
    match config.student.num_classes {
        Some(given) if labels && given < classes => Err(Error::config(format!(
            "student.num_classes is {given} and the data has {classes} classes; leave it out or raise it"
        ))),
        _ => Ok(wanted),
    }
}
