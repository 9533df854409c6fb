//! What a distillation trained besides the student, in one file of its run's
//! folder: SiNGER's adapters `adapter.L.down`, `adapter.L.up`, projections
//! `proj.L.weight`, `proj.L.bias`, and what else the method has, by teacher layer L.

use std::path::Path;

use crate::distill::{Method, PartsFile};
use crate::error::Result;
use crate::weights::{NamedTensors, WeightsFile};

/// The file's name.
const PARTS: &str = "singer.safetensors";

/// Writes the file into a run's folder, where the method trained such parts.
pub(super) fn save<M: Method>(
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

/// Opens the file of a run's folder.
pub(super) fn open(folder: &Path) -> Result<PartsFile> {
    Ok(PartsFile::new(WeightsFile::open(&folder.join(PARTS))?))
}
