use std::path::Path;

use super::Method;
use crate::error::Result;
use crate::refine::PARTS;
use crate::weights::NamedTensors;

/// Writes what a method trained besides the student into a run's folder, where it trained
/// such parts. `teacher_layers` are those that the student learnt from.
pub(crate) fn save_parts<M: Method>(
    method: &M,
    model: &M::Model,
    teacher_layers: &[usize],
    folder: &Path,
) -> Result<()> {
    let parts = method.parts(model);
    if parts.is_empty() {
        return Ok(());
    }
    let mut file = NamedTensors::default();
    file.tensors.extend(parts);
    let layers = serde_json::to_string(teacher_layers).unwrap_or_default();
    let student_layers = serde_json::to_string(method.student_layers()).unwrap_or_default();
    file.metadata.insert("layers".into(), layers);
    file.metadata.insert("student_layers".into(), student_layers);
    file.write(&folder.join(PARTS))
}
