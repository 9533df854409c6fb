//! Models by the flags and keys that name them.

use std::path::Path;

use burn::tensor::Device as BurnDevice;

use crate::device::Device;
use crate::error::Result;
use crate::model::{Model, ModelSpec, ResolvedModel, locate};
use crate::run::DataConfig;
use crate::vit::Vit;

/// A model's shape; `role` is the config section's name.
pub(super) fn resolve(spec: &ModelSpec, role: &'static str) -> Result<ResolvedModel> {
    fetch(spec)?;
    spec.resolve_for(role)
}

/// Downloads a model of the hub with a progress bar, that the library finds it in the cache.
pub(super) fn fetch(spec: &ModelSpec) -> Result<()> {
    spec.weights.as_deref().map_or(Ok(()), |reference| locate(reference, true).map(|_| ()))
}

/// The model with its weights, or new ones from `seed`. What was assumed of the weights is
/// said on stderr.
pub(super) fn build(model: &ResolvedModel, seed: u64, device: &BurnDevice) -> Result<Vit> {
    let vit = model.build(seed, device)?;
    say_assumed(model);
    Ok(vit)
}

/// The model on its device with its images prepared as the settings say; as [`build`] does
/// it.
pub(super) fn load(model: ResolvedModel, data: &DataConfig, device: &Device) -> Result<Model> {
    let preprocess = data.preprocess(model.preprocess()?)?;
    say_assumed(&model);
    Ok(model.load(0, device)?.with_preprocess(preprocess))
}

/// Says on stderr what was assumed of a model's weights.
pub(super) fn say_assumed(model: &ResolvedModel) {
    for line in model.assumed() {
        let file = model.weights().unwrap_or(Path::new(&model.arch));
        note!("singer: {}: {line}", file.display());
    }
}

/// A model for measuring: `arch` names its shape, else its weights file says it.
pub(super) fn open(weights: &Path, arch: Option<&str>) -> Result<ResolvedModel> {
    let arch = arch.map(str::to_owned);
    resolve(&ModelSpec { arch, ..ModelSpec::weights(weights) }, "model")
}
