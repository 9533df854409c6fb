//! How a model's images are prepared: timm's rule, or transformers' image processors.

mod processor;
mod timm;

#[cfg(not(target_family = "wasm"))]
use std::path::Path;

use burn::tensor::{Device as BurnDevice, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use processor::{Edges, Steps};
pub use timm::CropMode;

use super::{EvalTransform, Interpolation, Normalise, Offset, eval_crop};
use crate::error::{Error, Result};

/// How images are prepared for a model, at any image size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Channel statistics.
    #[serde(flatten)]
    pub normalise: Normalise,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// How an image of another shape is fitted.
    #[serde(flatten)]
    pub framing: Framing,
}

/// How an image of another shape is fitted to the model's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Framing {
    /// timm's rule.
    Timm {
        /// The rule for another aspect ratio.
        crop_mode: CropMode,
        /// Share of the scaled image that the crop keeps.
        crop_pct: f64,
    },
    /// The steps of a transformers image processor.
    Steps(Steps),
}

impl Default for Preprocess {
    /// Halves, bicubic, centre crop of 0.875.
    fn default() -> Self {
        Self {
            normalise: Normalise { mean: [0.5; 3], std: [0.5; 3] },
            interpolation: Interpolation::Bicubic,
            framing: Framing::Timm { crop_mode: CropMode::Center, crop_pct: 0.875 },
        }
    }
}

impl Preprocess {
    /// Reads the config files beside weights, as [`of_configs`](Self::of_configs).
    ///
    /// # Errors
    /// [`Error::Data`] where one is damaged or asks for a step that is not known;
    /// [`Error::Io`] where it cannot be read.
    #[cfg(not(target_family = "wasm"))]
    pub fn beside(weights: &Path, arch: &str, base: &Self) -> Result<Option<Self>> {
        let folder = match weights.is_dir() {
            true => weights,
            false => weights.parent().unwrap_or(Path::new("")),
        };
        Self::of_configs(arch, base, |name| {
            let path = folder.join(name);
            if !path.is_file() {
                return Ok(None);
            }
            std::fs::read_to_string(&path).map(Some).map_err(|error| Error::io(&path, error))
        })
        .map_err(|error| match error {
            Error::Data { path, reason } => Error::data(folder.join(path), reason),
            other => other,
        })
    }

    /// Reads config files, whose content `text` gives by name:
    /// transformers' `preprocessor_config.json` or `processor_config.json`, else
    /// timm's `config.json` where it is about the architecture `arch`; what timm's file
    /// leaves open is as in `base`. None where there is no such file.
    ///
    /// # Errors
    /// [`Error::Data`] with the file's name where one is damaged or asks for a step
    /// that is not known; what `text` gives.
    pub fn of_configs(
        arch: &str,
        base: &Self,
        text: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Option<Self>> {
        let files: [(&str, Reader); 3] = [
            ("preprocessor_config.json", |json, _, _| processor::read(json).map(Some)),
            ("processor_config.json", |json, _, _| {
                json.get("image_processor").map(processor::read).transpose()
            }),
            ("config.json", timm::read),
        ];
        for (name, read) in files {
            let Some(text) = text(name)? else { continue };
            let found = serde_json::from_str(&text)
                .map_err(|error| format!("not readable as JSON ({error})"))
                .and_then(|json| read(&json, arch, base))
                .map_err(|reason| Error::data(name, reason))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The transform to images of `size` `[H, W]`.
    pub fn transform(&self, size: [usize; 2]) -> EvalTransform {
        match self.framing {
            Framing::Timm { crop_mode, crop_pct } => {
                timm::transform(crop_mode, crop_pct, self, size)
            }
            Framing::Steps(steps) => EvalTransform {
                size,
                resize: steps.resize(size),
                interpolation: self.interpolation,
                offset: Offset::Down,
                fill: [0; 3],
            },
        }
    }

    /// Images of any size, prepared for a model that takes `size` `[H, W]`:
    /// `[B, 3, H, W]`.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is none, [`Error::Resize`].
    pub fn batch<'a>(
        &self,
        images: impl IntoIterator<Item = &'a RgbImage>,
        size: [usize; 2],
        device: &BurnDevice,
    ) -> Result<Tensor<4>> {
        let transform = self.transform(size);
        let images = images.into_iter().map(|image| eval_crop(image, &transform));
        self.normalise.batch(&images.collect::<Result<Vec<_>>>()?, device)
    }

    /// A description in one line.
    pub fn describe(&self) -> String {
        match self.framing {
            Framing::Timm { crop_mode, crop_pct } => {
                format!("{}, {crop_mode} crop of {crop_pct}", self.interpolation)
            }
            Framing::Steps(steps) => format!("{}, {}", self.interpolation, steps.describe()),
        }
    }
}

/// Reads one kind of file; none where it describes something else. The error is the
/// reason.
type Reader =
    fn(&serde_json::Value, &str, &Preprocess) -> std::result::Result<Option<Preprocess>, String>;

/// Three finite numbers, for the channels; one number stands for all.
fn channels(json: &serde_json::Value, key: &str) -> std::result::Result<[f64; 3], String> {
    let wrong = || format!("its {key} is {json}; it must be three numbers");
    let number = |value: &serde_json::Value| value.as_f64().filter(|number| number.is_finite());
    match json {
        serde_json::Value::Array(values) => {
            let values: Option<Vec<f64>> = values.iter().map(number).collect();
            values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
        }
        value => number(value).map(|value| [value; 3]).ok_or_else(wrong),
    }
}

/// Statistics as they are used; deviations must be above zero.
fn statistics(mean: [f64; 3], std: [f64; 3]) -> std::result::Result<Normalise, String> {
    if std.iter().any(|&value| value <= 0.0) {
        return Err(format!("its standard deviation is {std:?}; it must be above 0"));
    }
    Ok(Normalise { mean: mean.map(|v| v as f32), std: std.map(|v| v as f32) })
}
