//! The flags on how a model's images are prepared.

use clap::Args as ClapArgs;

use crate::data::{CropMode, Interpolation};
use crate::error::{Error, Result};
use crate::run::DataConfig;

/// Everything about the preparation of images.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct PreprocessArgs {
    /// Share of the scaled image that the crop keeps; by default the model's
    #[arg(long, value_name = "SHARE")]
    pub(super) crop_pct: Option<f64>,
    /// How the crop treats other aspect ratios: center, squash (stretched) or
    /// border (padded); by default the model's
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
    /// Channel standard deviation of values in 0..1; by default the model's
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
