//! How a model's images are prepared: flags, else what its files say, else its
//! preset.

use std::path::Path;

use clap::Args as ClapArgs;

use super::config::DataConfig;
use super::models::Resolved;
use crate::data::{CropMode, Framing, Interpolation, Normalise, Preprocess};
use crate::error::{Error, Result};
use crate::vit::{Preset, preset};
use crate::weights::{self, PREPROCESS_KEY};

/// Everything about the preparation of images.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct PreprocessArgs {
    /// Share of the scaled image that the crop keeps; by default the model's
    #[arg(long, value_name = "SHARE")]
    pub(super) crop_pct: Option<f64>,
    /// center, squash (aspect ratio given up) or border (padded); by default the
    /// model's
    #[arg(long, value_name = "MODE")]
    pub(super) crop_mode: Option<CropMode>,
    #[command(flatten)]
    pub(super) pixels: PixelArgs,
}

/// How pixels are made, whatever part of the image is kept.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct PixelArgs {
    /// The resampling filter: bicubic, bilinear, lanczos, box, hamming or nearest;
    /// by default the model's
    #[arg(long, value_name = "FILTER")]
    pub(super) interpolation: Option<Interpolation>,
    /// Channel mean of values in 0..1; by default the model's
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 1..)]
    pub(super) mean: Option<Vec<f32>>,
    /// Channel deviation of values in 0..1; by default the model's
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 1..)]
    pub(super) std: Option<Vec<f32>>,
}

impl PreprocessArgs {
    /// The settings with these flags over them.
    pub(super) fn over(&self, data: DataConfig) -> Result<DataConfig> {
        let data = self.pixels.over(data)?;
        Ok(DataConfig {
            crop_pct: self.crop_pct.or(data.crop_pct),
            crop_mode: self.crop_mode.or(data.crop_mode),
            ..data
        })
    }
}

impl PixelArgs {
    /// The settings with these flags over them.
    pub(super) fn over(&self, data: DataConfig) -> Result<DataConfig> {
        let channels = |flag: &str, given: &Option<Vec<f32>>| {
            let wrong = || Error::config(format!("--{flag} takes three numbers: R,G,B"));
            given
                .as_ref()
                .map(|v| <[f32; 3]>::try_from(v.as_slice()).map_err(|_| wrong()))
                .transpose()
        };
        Ok(DataConfig {
            interpolation: self.interpolation.or(data.interpolation),
            mean: channels("mean", &self.mean)?.or(data.mean),
            std: channels("std", &self.std)?.or(data.std),
            ..data
        })
    }
}

/// How images are prepared for a model: the settings, else what its weights file
/// says, what lies beside it, its preset, the default.
pub(super) fn preprocess(data: &DataConfig, model: &Resolved) -> Result<Preprocess> {
    let usual = preset(&model.arch).map(Preset::preprocess).unwrap_or_default();
    let own = match &model.weights {
        Some(path) => match stored(path)? {
            Some(stored) => Some(stored),
            None => Preprocess::beside(path, &model.arch, &usual)?,
        },
        None => None,
    };
    let own = own.unwrap_or_else(|| {
        let (mean, std) = model.mean_std;
        Preprocess { normalise: Normalise { mean, std }, ..usual }
    });
    overridden(data, own)
}

fn overridden(data: &DataConfig, own: Preprocess) -> Result<Preprocess> {
    if data.crop_pct.is_some_and(|pct| !(pct > 0.0 && pct <= 1.0)) {
        return Err(Error::config("crop_pct must lie between 0 and 1"));
    }
    let finite = data.mean.iter().chain(&data.std).flatten().all(|value| value.is_finite());
    if !finite || data.std.iter().flatten().any(|&value| value <= 0.0) {
        return Err(Error::config("mean and std must be finite, and std above 0"));
    }
    let mut preprocess = own;
    preprocess.normalise.mean = data.mean.unwrap_or(own.normalise.mean);
    preprocess.normalise.std = data.std.unwrap_or(own.normalise.std);
    preprocess.interpolation = data.interpolation.unwrap_or(own.interpolation);
    if data.crop_pct.is_some() || data.crop_mode.is_some() {
        let (mode, pct) = match own.framing {
            Framing::Timm { crop_mode, crop_pct } => (crop_mode, crop_pct),
            Framing::Steps(_) => (CropMode::Center, 1.0),
        };
        preprocess.framing = Framing::Timm {
            crop_mode: data.crop_mode.unwrap_or(mode),
            crop_pct: data.crop_pct.unwrap_or(pct),
        };
    }
    Ok(preprocess)
}

/// What [`note`] wrote into a weights file.
fn stored(path: &Path) -> Result<Option<Preprocess>> {
    let damaged = |error: serde_json::Error| Error::Checkpoint {
        path: path.to_owned(),
        reason: format!("its {PREPROCESS_KEY} entry is damaged: {error}"),
    };
    let Some(text) = weights::stored_note(path, PREPROCESS_KEY)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// The entry for a model whose images were prepared so.
pub(super) fn note(preprocess: &Preprocess) -> (&'static str, String) {
    (PREPROCESS_KEY, serde_json::to_string(preprocess).unwrap_or_default())
}
