use std::collections::BTreeMap;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
#[cfg(not(target_family = "wasm"))]
use sha2::{Digest, Sha256};

use super::adapter::{Adapter, Gate, adapter_part};
use crate::error::{Error, Result};
#[cfg(not(target_family = "wasm"))]
use crate::readback::named_parameters;
use crate::readback::read_async;
use crate::weights::{NamedTensors, WeightsFile};

/// The file of a run's folder.
#[cfg(not(target_family = "wasm"))]
pub(crate) const PARTS: &str = "singer.safetensors";

/// Metadata of a run's file in closed form: the blocks that adapters refine.
pub(crate) const REFINED_LAYERS: &str = "refined_layers";

/// Adapters of one teacher by layer, on the plain device.
#[derive(Debug, Clone, Default)]
pub struct Adapters {
    adapters: BTreeMap<usize, Adapter>,
    /// Those of a distillation: the student's layer that learns from each.
    student_layers: BTreeMap<usize, usize>,
    closed: bool,
}

impl Adapters {
    /// None yet, of a refinement in closed form.
    pub(crate) fn closed() -> Self {
        Self { closed: true, ..Self::default() }
    }

    /// Whether they are a refinement in closed form, which is not trained: each has a gate.
    /// There are none where no block has artifacts.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn insert(&mut self, layer: usize, adapter: Adapter) {
        self.adapters.insert(layer, adapter);
    }

    /// The teacher's layers that have one, ascending.
    pub fn layers(&self) -> Vec<usize> {
        self.adapters.keys().copied().collect()
    }

    /// A hash of all layers and values; none where they cannot be read.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn fingerprint(&self) -> Option<String> {
        let mut hash = Sha256::new();
        for (layer, adapter) in &self.adapters {
            let class_token = adapter.gate.as_ref().map(|gate| gate.class_token);
            hash.update(format!("{layer} {class_token:?}"));
            for (name, data) in named_parameters(adapter).ok()? {
                hash.update(format!("{name} {:?}", data.shape()));
                hash.update(data.as_bytes());
            }
        }
        Some(format!("{:x}", hash.finalize()))
    }

    /// The adapter of a layer.
    pub fn get(&self, layer: usize) -> Option<&Adapter> {
        self.adapters.get(&layer)
    }

    /// The student's layer that learnt from a layer's refined features, where the adapters
    /// are those of a distillation.
    pub fn student_layer(&self, layer: usize) -> Option<usize> {
        self.student_layers.get(&layer).copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.adapters.is_empty()
    }

    /// Layers and their adapters, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Adapter)> {
        self.adapters.iter().map(|(&layer, adapter)| (layer, adapter))
    }

    /// One for each of `layers`, for a teacher of width `dim`, on the training device `device`.
    ///
    /// # Errors
    /// [`Error::Adapters`] where there is none for a layer, or they are of another width or a
    /// closed form.
    pub fn for_training(
        &self,
        layers: &[usize],
        dim: usize,
        device: &Device,
    ) -> Result<Vec<Adapter>> {
        if self.closed {
            let reason = "they are a closed form, which is not trained".to_owned();
            return Err(Error::Adapters(reason));
        }
        let adapter = |layer: &usize| {
            let Some(adapter) = self.get(*layer) else {
                let reason = format!(
                    "there are adapters for blocks {:?} and none for block {layer}",
                    self.layers()
                );
                return Err(Error::Adapters(reason));
            };
            match adapter.down.dims()[0] {
                width if width == dim => {
                    let [down, up] =
                        [&adapter.down, &adapter.up].map(|half| half.val().into_data());
                    Ok(Adapter::from_data(down, up, device))
                }
                width => Err(Error::Adapters(format!(
                    "the adapters are of a teacher of width {width}; this one's is {dim}"
                ))),
            }
        };
        layers.iter().map(adapter).collect()
    }

    /// The same on another device.
    #[must_use]
    pub fn on(&self, device: &Device) -> Self {
        let moved =
            |(layer, adapter): (usize, &Adapter)| (layer, adapter.clone().to_device(device));
        let Self { student_layers, closed, .. } = self.clone();
        Self { adapters: self.iter().map(moved).collect(), student_layers, closed }
    }

    /// Checks that they fit a teacher of `depth` blocks and width `dim`.
    ///
    /// # Errors
    /// [`Error::Adapters`].
    pub fn check(&self, depth: usize, dim: usize) -> Result<()> {
        let unfit = |(layer, adapter): (usize, &Adapter)| {
            let ([from, rank], [rank_up, to]) = (adapter.down.dims(), adapter.up.dims());
            if layer >= depth {
                return Some(format!(
                    "there is one for block {layer}, and the teacher's are 0 to {}",
                    depth - 1
                ));
            }
            ([from, to] != [dim; 2] || rank != rank_up).then(|| {
                format!("the adapters are of a teacher of width {from}; this one's is {dim}")
            })
        };
        match self.iter().find_map(unfit) {
            Some(reason) => Err(Error::Adapters(reason)),
            None => Ok(()),
        }
    }

    /// As tensors by name, `adapter.L.down` `[D, r]` and `adapter.L.up` `[r, D]`, in closed form
    /// also `adapter.L.centre` `[D]` and `adapter.L.limit` `[r]`: the file
    /// that [`PartsFile`] reads. Does not block the thread, which a browser does not allow.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub async fn to_tensors(&self) -> Result<NamedTensors> {
        let mut file = NamedTensors::default();
        for (layer, adapter) in self.iter() {
            for (half, param) in [("down", &adapter.down), ("up", &adapter.up)] {
                let shape = param.dims();
                let values = read_async(param.val()).await?;
                file.tensors.insert(adapter_part(layer, half), TensorData::new(values, shape));
            }
            let Some(gate) = &adapter.gate else { continue };
            for (part, param) in [("centre", &gate.centre), ("limit", &gate.limit)] {
                let values = read_async(param.val()).await?;
                let shape = [values.len()];
                file.tensors.insert(adapter_part(layer, part), TensorData::new(values, shape));
            }
        }
        if self.closed {
            let gates = self.iter().filter_map(|(_, adapter)| adapter.gate.as_ref());
            let class_token = gates.into_iter().any(|gate| gate.class_token);
            file.metadata.insert("refinement".into(), "closed".into());
            file.metadata.insert("class_token".into(), class_token.to_string());
        }
        let layers = serde_json::to_string(&self.layers()).unwrap_or_default();
        file.metadata.insert("layers".into(), layers);
        let student_layers: Vec<usize> = self.student_layers.values().copied().collect();
        if student_layers.len() == self.adapters.len() {
            let student_layers = serde_json::to_string(&student_layers).unwrap_or_default();
            file.metadata.insert("student_layers".into(), student_layers);
        }
        Ok(file)
    }

    /// Writes them into a safetensors file.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Gpu`].
    #[cfg(not(target_family = "wasm"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        pollster::block_on(self.to_tensors())?.write(path.as_ref())
    }

    /// Reads those of a fit, of a run (`singer.safetensors`) or of the browser.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`].
    #[cfg(not(target_family = "wasm"))]
    pub fn open(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        PartsFile::new(WeightsFile::open(path.as_ref())?).adapters(device)
    }
}

impl FromIterator<(usize, Adapter)> for Adapters {
    fn from_iter<I: IntoIterator<Item = (usize, Adapter)>>(adapters: I) -> Self {
        let adapters: BTreeMap<_, _> = adapters.into_iter().collect();
        let gated = adapters.values().any(|adapter| adapter.gate.is_some());
        Self { adapters, student_layers: BTreeMap::new(), closed: gated }
    }
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

    /// That of a run's folder; none where the run trained no such parts.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a damaged file.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_run(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(PARTS);
        path.exists().then(|| WeightsFile::open(&path).map(Self::new)).transpose()
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
        let adapter = Adapter::from_data(down, up, device);
        if !self.is_closed() {
            return Ok(adapter);
        }
        let [centre, limit] = [self.vector(layer, "centre")?, self.vector(layer, "limit")?];
        if [centre.shape()[0], limit.shape()[0]] != turned {
            return Err(self.damaged(&format!("the gate of adapter.{layer} does not fit it")));
        }
        let [centre, limit] = [centre, limit].map(|data| Tensor::from_data(data, device));
        let class_token = self.file.metadata().get("class_token").is_some_and(|is| is == "true");
        Ok(Adapter { gate: Some(Gate::new(centre, limit, class_token)), ..adapter })
    }

    /// Whether its adapters are a refinement in closed form.
    fn is_closed(&self) -> bool {
        self.file.metadata().get("refinement").is_some_and(|kind| kind == "closed")
    }

    /// The layers that adapters refine: those listed, in closed form those in which artifacts
    /// were found.
    fn refined_layers(&self) -> Result<Vec<usize>> {
        match self.is_closed() && self.file.metadata().contains_key(REFINED_LAYERS) {
            true => self.listed(REFINED_LAYERS),
            false => self.listed("layers"),
        }
    }

    /// All its adapters.
    ///
    /// # Errors
    /// As [`adapter`](Self::adapter).
    pub fn adapters(&self, device: &Device) -> Result<Adapters> {
        let layers = self.refined_layers()?;
        let adapter = |&layer: &usize| Ok((layer, self.adapter(layer, device)?));
        let adapters = layers.iter().map(adapter).collect::<Result<_>>()?;
        let student_layers = match self.file.metadata().contains_key("student_layers") {
            true => {
                self.listed("layers")?.into_iter().zip(self.listed("student_layers")?).collect()
            }
            false => BTreeMap::new(),
        };
        Ok(Adapters { adapters, student_layers, closed: self.is_closed() })
    }

    /// Whether it has a projection of a layer.
    pub fn has_projection(&self, layer: usize) -> bool {
        self.file.shape(&format!("proj.{layer}.weight")).is_some()
    }

    /// The projection of a layer.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is not there or damaged.
    pub fn projection(&self, layer: usize, device: &Device) -> Result<Linear> {
        self.linear(&format!("proj.{layer}"), device)
    }

    /// The projection of a layer's class token, `global.L.weight` and `global.L.bias`, where
    /// the method has one apart.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged.
    pub fn class_projection(&self, layer: usize, device: &Device) -> Result<Option<Linear>> {
        let name = format!("global.{layer}");
        let there = self.file.shape(&format!("{name}.weight")).is_some();
        there.then(|| self.linear(&name, device)).transpose()
    }

    fn linear(&self, name: &str, device: &Device) -> Result<Linear> {
        let weight = self.take(&format!("{name}.weight"), 2)?;
        let bias = self.take(&format!("{name}.bias"), 1)?;
        let [to, from] = [weight.shape()[0], weight.shape()[1]];
        if bias.shape()[0] != to {
            return Err(self.damaged(&format!("{name}.bias does not fit {name}.weight")));
        }
        let mut linear = LinearConfig::new(from, to).init(device);
        let weight = Tensor::<2>::from_data(weight, device).transpose();
        linear.weight = Param::from_tensor(weight);
        linear.bias = Some(Param::from_tensor(Tensor::<1>::from_data(bias, device)));
        Ok(linear)
    }

    fn vector(&self, layer: usize, part: &str) -> Result<TensorData> {
        self.take(&adapter_part(layer, part), 1)
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
