//! What a distillation trained besides the student, in one file of its run's
//! folder: SiNGER's adapters `adapter.L.down`, `adapter.L.up`, projections
//! `proj.L.weight`, `proj.L.bias`, and what else the method has, by teacher layer L.

use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::method::Method;
use crate::refine::Adapter;
use crate::weights::NamedTensors;

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

/// The file, read.
pub(super) struct PartsFile {
    path: PathBuf,
    file: NamedTensors,
}

impl PartsFile {
    /// Reads it from a run's folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(PARTS);
        Ok(Self { file: NamedTensors::read(&path)?, path })
    }

    /// The teacher's layers that it is about, ascending.
    pub(super) fn layers(&self) -> Result<Vec<usize>> {
        let text = self.file.metadata.get("layers").map_or("", String::as_str);
        let mut layers: Vec<usize> = serde_json::from_str(text)
            .map_err(|_| self.damaged("its metadata does not list its layers".into()))?;
        layers.sort_unstable();
        Ok(layers)
    }

    /// The adapter of a layer.
    pub(super) fn adapter(&self, layer: usize, device: &Device) -> Result<Adapter> {
        let part = |part: &str| self.take(&format!("adapter.{layer}.{part}"), 2);
        Ok(Adapter::from_data(part("down")?, part("up")?, device))
    }

    /// The projection of a layer.
    pub(super) fn projection(&self, layer: usize, device: &Device) -> Result<Linear> {
        let weight = self.take(&format!("proj.{layer}.weight"), 2)?;
        let bias = self.take(&format!("proj.{layer}.bias"), 1)?;
        let [to, from] = [weight.shape()[0], weight.shape()[1]];
        if bias.shape()[0] != to {
            return Err(self.damaged(format!("proj.{layer}.bias does not fit proj.{layer}.weight")));
        }
        let mut linear = LinearConfig::new(from, to).init(device);
        let weight = Tensor::<2>::from_data(weight, device).transpose();
        linear.weight = Param::from_tensor(weight);
        linear.bias = Some(Param::from_tensor(Tensor::<1>::from_data(bias, device)));
        Ok(linear)
    }

    fn take(&self, name: &str, rank: usize) -> Result<TensorData> {
        let found = self.file.tensors.get(name);
        let data = found.ok_or_else(|| self.damaged(format!("it has no {name}")))?;
        if data.shape().len() != rank {
            return Err(self.damaged(format!("{name} has the shape {:?}", data.shape())));
        }
        Ok(data.clone())
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.path.clone(), reason }
    }
}
