//! Models by the flags and keys that name them.

use std::path::{Path, PathBuf};

use burn::tensor::Device as BurnDevice;
use clap::Args as ClapArgs;

use super::progress;
use crate::device::Device;
use crate::error::Result;
use crate::model::{ImageSize, Model, ModelSpec, ResolvedModel, locate};
use crate::run::DataConfig;
use crate::vit::{Vit, VitConfig};

/// How a file of weights is read.
#[derive(Debug, ClapArgs)]
pub(super) struct WeightsArgs {
    /// The model's timm name; needed where the file does not state the shape, or to override it
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Which of the models in the file: a key of the checkpoint, or a prefix of the tensors'
    /// names; by default the average of the weights (EMA), else the teacher
    #[arg(long, value_name = "KEY_OR_PREFIX")]
    weights_key: Option<String>,
}

impl WeightsArgs {
    /// The model of a file of weights.
    pub(super) fn open(&self, weights: &Path) -> Result<ResolvedModel> {
        resolve(&self.spec(weights), "model")
    }

    fn spec(&self, weights: &Path) -> ModelSpec {
        let Self { arch, weights_key } = self;
        let [arch, weights_key] = [arch.clone(), weights_key.clone()];
        ModelSpec { arch, weights_key, ..ModelSpec::weights(weights) }
    }
}

/// How a file of weights is read, and for which image size.
#[derive(Debug, ClapArgs)]
pub(super) struct ShapeArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Image size in pixels, `224` or `HxW`, instead of the model's own; its positions are
    /// resampled
    #[arg(long, value_name = "SIZE")]
    size: Option<ImageSize>,
}

impl ShapeArgs {
    /// The model of a file of weights.
    pub(super) fn open(&self, weights: &Path) -> Result<ResolvedModel> {
        let model = self.open_weights(weights)?;
        if self.size.is_none() {
            hint_size(&model.config);
        }
        Ok(model)
    }

    /// The same where no image is looked at, so that its size costs nothing.
    pub(super) fn open_weights(&self, weights: &Path) -> Result<ResolvedModel> {
        resolve(&self.spec(weights), "model")
    }

    pub(super) fn spec(&self, weights: &Path) -> ModelSpec {
        ModelSpec { img_size: self.size, ..self.weights.spec(weights) }
    }

    /// The model of another file of weights, for images of the size of `like`.
    pub(super) fn open_like(&self, weights: &Path, like: &VitConfig) -> Result<ResolvedModel> {
        let img_size = Some(ImageSize::Sides(like.img_size));
        let spec = ModelSpec { img_size, weights_key: None, ..self.weights.spec(weights) };
        resolve(&spec, "model")
    }
}

/// The image side that most models are distilled at.
const USUAL_SIDE: usize = 224;

/// Says on stderr what a model's own image size costs where it is far above 224 pixels.
pub(super) fn hint_size(config: &VitConfig) {
    let side = USUAL_SIDE / config.patch_size * config.patch_size;
    let usual = VitConfig { img_size: [side; 2], ..config.clone() };
    let times = config.multiply_adds() as f64 / usual.multiply_adds().max(1) as f64;
    if side > 0 && times >= 2.0 {
        let [height, width] = config.img_size;
        note!(
            "singer: the model takes images of {height}x{width} pixels, {} tokens each; with --size {side} it is {} tokens and about {times:.1} times less work",
            config.tokens(),
            usual.tokens()
        );
    }
}

/// A model's shape; `role` is the config section's name.
pub(super) fn resolve(spec: &ModelSpec, role: &'static str) -> Result<ResolvedModel> {
    fetch(spec)?;
    spec.resolve_for(role)
}

/// Downloads a model of the hub with a progress bar, that the library finds it in the cache.
pub(super) fn fetch(spec: &ModelSpec) -> Result<()> {
    spec.weights.as_deref().map_or(Ok(()), |reference| found(reference).map(|_| ()))
}

/// The file or folder of weights that a reference stands for, downloaded with a progress bar.
pub(super) fn found(reference: &Path) -> Result<PathBuf> {
    locate(reference, &mut progress::download())
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
