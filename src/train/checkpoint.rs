use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use super::{LossScale, ParamOptimizer};
use crate::error::{Error, Result};
use crate::weights::NamedTensors;

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const STEP: &str = "singer.step";
const RUN: &str = "singer.run";
const LOSS_SCALE: &str = "singer.loss_scale";

/// All that a run needs to go on exactly where it was, in one file: the trained
/// parameters, the optimiser's state, and the number of steps done. Order and
/// augmentation of the data follow from the seed and the step.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: NamedTensors,
    /// Steps done.
    pub step: usize,
    /// What the run was started with, as its owner described it.
    pub run: String,
    /// The scale of the loss, in half precision.
    pub loss_scale: Option<LossScale>,
}

impl Checkpoint {
    /// Gathers a run's state from the device.
    pub fn capture<M: Module>(
        model: &M,
        optimizer: &ParamOptimizer,
        step: usize,
        run: &str,
        loss_scale: Option<LossScale>,
    ) -> Self {
        let mut gather = Gather::default();
        model.visit(&mut gather);
        let state = optimizer.to_tensors(model);
        let mut tensors = NamedTensors::default();
        tensors
            .tensors
            .extend(gather.found.into_iter().map(|(name, data)| (format!("{MODEL}{name}"), data)));
        tensors
            .tensors
            .extend(state.into_iter().map(|(name, data)| (format!("{OPTIMIZER}{name}"), data)));
        tensors.metadata.insert(STEP.into(), step.to_string());
        tensors.metadata.insert(RUN.into(), run.into());
        let scale = loss_scale.and_then(|scale| serde_json::to_string(&scale).ok());
        tensors.metadata.extend(scale.map(|scale| (LOSS_SCALE.into(), scale)));
        Self { tensors, step, run: run.into(), loss_scale }
    }

    /// Writes the file; a crash leaves the old one whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.tensors.write(path)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// As [`NamedTensors::to_bytes`].
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        self.tensors.to_bytes()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] where it is damaged or not one of ours.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(NamedTensors::read(path)?, path)
    }

    /// From a file's bytes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where they are damaged.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let path = Path::new("the first rank's state");
        Self::of(NamedTensors::from_bytes(bytes, path)?, path)
    }

    fn of(tensors: NamedTensors, path: &Path) -> Result<Self> {
        let entry = |key: &str| tensors.metadata.get(key).cloned();
        let step = entry(STEP).and_then(|step| step.parse().ok());
        let scale = entry(LOSS_SCALE).map(|scale| serde_json::from_str(&scale)).transpose();
        match (step, entry(RUN), scale) {
            (Some(step), Some(run), Ok(loss_scale)) => Ok(Self { tensors, step, run, loss_scale }),
            _ => Err(Error::Checkpoint {
                path: path.to_owned(),
                reason: "it is not a training checkpoint".into(),
            }),
        }
    }

    /// Puts the state into a model of the same shape and a fresh optimiser.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where a parameter is missing or has another shape.
    pub fn restore<M: Module>(
        self,
        path: &Path,
        model: M,
        optimizer: &mut ParamOptimizer,
        device: &Device,
    ) -> Result<M> {
        let (mut parameters, mut state) = (Vec::new(), Vec::new());
        for (name, data) in self.tensors.tensors {
            if let Some(name) = name.strip_prefix(MODEL) {
                parameters.push((name.to_owned(), data));
            } else if let Some(name) = name.strip_prefix(OPTIMIZER) {
                state.push((name.to_owned(), data));
            }
        }
        let mut scatter = Scatter {
            source: parameters.into_iter().collect(),
            misfits: Vec::new(),
            path: Vec::new(),
        };
        let model = model.map(&mut scatter);
        if let Some(misfit) = scatter.misfits.first() {
            return Err(Error::Checkpoint {
                path: path.to_owned(),
                reason: format!(
                    "{misfit} is missing or has another shape than the configured model"
                ),
            });
        }
        optimizer.load_tensors(&model, state, device);
        Ok(model)
    }
}

/// The first setting in which two descriptions differ, as `say` puts its name and both values,
/// where they are JSON objects; none where they agree. A setting that only the old one names
/// does not count.
pub(super) fn first_difference(
    old: &str,
    new: &str,
    say: impl Fn(&str, &Value, &Value) -> String,
) -> Option<String> {
    fn find<'a>(
        old: &'a Value,
        new: &'a Value,
        path: String,
    ) -> Option<(String, &'a Value, &'a Value)> {
        if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
            return new.iter().find_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                find(old.get(key).unwrap_or(&Value::Null), value, path)
            });
        }
        (old != new).then_some((path, old, new))
    }
    let object = |text| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    match (object(old), object(new)) {
        (Some(old), Some(new)) => {
            find(&old, &new, String::new()).map(|(path, old, new)| say(&path, old, new))
        }
        _ => (old != new).then(String::new),
    }
}

#[derive(Default)]
struct Gather {
    found: Vec<(String, TensorData)>,
    path: Vec<String>,
}

impl ModuleVisitor for Gather {
    track_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.path.join("."), param.val().inner().into_data()));
    }
}

struct Scatter {
    source: std::collections::HashMap<String, TensorData>,
    misfits: Vec<String>,
    path: Vec<String>,
}

impl ModuleMapper for Scatter {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let fits = |data: &TensorData| *data.shape() == param.lazy_shape();
        match self.source.remove(&name).filter(fits) {
            Some(data) => {
                let device = param.lazy_device();
                param.map(|old| {
                    let tensor = Tensor::from_data(data, &device);
                    if old.is_require_grad() { tensor.require_grad() } else { tensor }
                })
            }
            None => {
                self.misfits.push(name);
                param
            }
        }
    }
}
