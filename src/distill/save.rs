use std::path::Path;

use super::Method;
use crate::error::Result;
use crate::refine::{Adapters, PARTS, REFINED_LAYERS};
use crate::weights::NamedTensors;

/// Writes what a method trained besides the student into a run's folder, where it trained
/// such parts, with the closed form that refined the teacher. `teacher_layers` are those that the student learnt from.
pub(crate) fn save_parts<M: Method>(
    method: &M,
    model: &M::Model,
    teacher_layers: &[usize],
    closed: Option<&Adapters>,
    folder: &Path,
) -> Result<()> {
    let parts = method.parts(model);
    if parts.is_empty() && closed.is_none() {
        return Ok(());
    }
    let mut file = match closed {
        Some(adapters) => pollster::block_on(adapters.to_tensors())?,
        None => NamedTensors::default(),
    };
    if let Some(refined) = file.metadata.remove("layers") {
        file.metadata.insert(REFINED_LAYERS.into(), refined);
    }
    file.tensors.extend(parts);
    let layers = serde_json::to_string(teacher_layers).unwrap_or_default();
    let student_layers = serde_json::to_string(method.student_layers()).unwrap_or_default();
    file.metadata.insert("layers".into(), layers);
    file.metadata.insert("student_layers".into(), student_layers);
    file.write(&folder.join(PARTS))
}
