use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

use super::{NamedTensors, WeightsFile};
use crate::error::{Error, Result};
use crate::refine::Adapter;

/// Name of a layer's `down` or `up`.
pub(crate) fn adapter_part(layer: usize, half: &str) -> String {
    format!("adapter.{layer}.{half}")
}

/// A file of adapters alone, `[down, up]` by teacher layer, as [`PartsFile`] reads it.
pub fn adapters_file(adapters: impl IntoIterator<Item = (usize, [TensorData; 2])>) -> NamedTensors {
    let mut file = NamedTensors::default();
    let mut layers = Vec::new();
    for (layer, [down, up]) in adapters {
        file.tensors.insert(adapter_part(layer, "down"), down);
        file.tensors.insert(adapter_part(layer, "up"), up);
        layers.push(layer);
    }
    let layers = serde_json::to_string(&layers).unwrap_or_default();
    file.metadata.insert("layers".into(), layers);
    file
}

/// What a distillation trained besides the student: SiNGER's adapters
/// `adapter.L.down` `[D, r]` and `adapter.L.up` `[r, D]`, projections
/// `proj.L.weight` and `proj.L.bias`, by teacher layer L.
#[derive(Debug)]
pub struct PartsFile {
    file: WeightsFile,
}

impl PartsFile {
    /// Of an opened file.
    pub fn new(file: WeightsFile) -> Self {
        Self { file }
    }

    /// The teacher's layers that it is about, ascending.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it does not say them.
    pub fn layers(&self) -> Result<Vec<usize>> {
        let mut layers = self.listed("layers")?;
        layers.sort_unstable();
        Ok(layers)
    }

    /// The student's layer that learns from each of the teacher's, in the file's
    /// order of them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it does not say them.
    pub fn student_layers(&self) -> Result<Vec<usize>> {
        self.listed("student_layers")
    }

    /// The adapter of a layer.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is not there or damaged.
    pub fn adapter(&self, layer: usize, device: &Device) -> Result<Adapter> {
        let [down, up] = [self.matrix(layer, "down")?, self.matrix(layer, "up")?];
        let turned = [up.shape()[1], up.shape()[0]];
        if down.shape().as_slice() != turned {
            return Err(self.damaged(&format!("the halves of adapter.{layer} do not fit")));
        }
        Ok(Adapter::from_data(down, up, device))
    }

    /// The projection of a layer.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is not there or damaged.
    pub fn projection(&self, layer: usize, device: &Device) -> Result<Linear> {
        let weight = self.take(&format!("proj.{layer}.weight"), 2)?;
        let bias = self.take(&format!("proj.{layer}.bias"), 1)?;
        let [to, from] = [weight.shape()[0], weight.shape()[1]];
        if bias.shape()[0] != to {
            return Err(
                self.damaged(&format!("proj.{layer}.bias does not fit proj.{layer}.weight"))
            );
        }
        let mut linear = LinearConfig::new(from, to).init(device);
        let weight = Tensor::<2>::from_data(weight, device).transpose();
        linear.weight = Param::from_tensor(weight);
        linear.bias = Some(Param::from_tensor(Tensor::<1>::from_data(bias, device)));
        Ok(linear)
    }

    fn matrix(&self, layer: usize, half: &str) -> Result<TensorData> {
        self.take(&adapter_part(layer, half), 2)
    }

    fn listed(&self, key: &str) -> Result<Vec<usize>> {
        let text = self.file.metadata().get(key).map_or("", String::as_str);
        serde_json::from_str(text)
            .map_err(|_| self.damaged(&format!("its metadata does not list its {key}")))
    }

    fn take(&self, name: &str, rank: usize) -> Result<TensorData> {
        let data =
            self.file.read(name).ok_or_else(|| self.damaged(&format!("it has no {name}")))??;
        if data.shape().len() != rank {
            return Err(self.damaged(&format!("{name} has the shape {:?}", data.shape())));
        }
        Ok(data)
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::checkpoint(self.file.path(), reason)
    }
}
