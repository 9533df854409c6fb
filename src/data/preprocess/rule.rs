//! How images are prepared for a model, and the transform that follows from it.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device as BurnDevice, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::resample::Interpolation;
use crate::data::transform::{EvalTransform, Normalise, Offset, Resize, eval_crop};
use crate::error::Result;

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

/// How an image of another aspect ratio is fitted: timm's `crop_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// The shorter side is scaled and the centre kept.
    Center,
    /// Both sides are scaled; the aspect ratio is not kept.
    Squash,
    /// The longer side is scaled and the rest filled with the mean colour.
    Border,
}

impl CropMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Center, Self::Squash, Self::Border];

    /// The name, as timm writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Squash => "squash",
            Self::Border => "border",
        }
    }
}

impl fmt::Display for CropMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for CropMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mode| mode.name() == text);
        known.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// How a transformers image processor changes an image's shape, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The resize; none where it leaves the image as it is.
    pub resize: Option<Edges>,
    /// Height and width of the centre crop; none where nothing is cropped.
    pub crop: Option<[usize; 2]>,
}

/// The `size` of an image processor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edges {
    /// The shorter side; the other follows.
    ShortestEdge(usize),
    /// Height and width, whatever the aspect ratio.
    Size([usize; 2]),
}

impl Steps {
    /// The resize for a model that takes images of `size` `[H, W]`. Where the
    /// processor makes another size, the proportion of resize and crop stays.
    fn resize(&self, size: [usize; 2]) -> Resize {
        let scaled = |length: usize, i: usize| match self.crop {
            Some(crop) => (length as f64 * size[i] as f64 / crop[i] as f64).round() as usize,
            None => size[i],
        };
        match self.resize {
            None => Resize::Keep,
            Some(Edges::ShortestEdge(length)) => {
                Resize::Shorter(scaled(length, 0).max(scaled(length, 1)))
            }
            Some(Edges::Size(sides)) => Resize::Exact([scaled(sides[0], 0), scaled(sides[1], 1)]),
        }
    }

    fn describe(&self) -> String {
        let resize = match self.resize {
            None => "no resize".to_owned(),
            Some(Edges::ShortestEdge(length)) => format!("shorter side to {length}"),
            Some(Edges::Size([h, w])) => format!("squashed to {w}x{h}"),
        };
        match self.crop {
            Some([h, w]) => format!("{resize}, centre crop {w}x{h}"),
            None => resize,
        }
    }
}

impl Preprocess {
    /// The transform to images of `size` `[H, W]`.
    pub fn transform(&self, size: [usize; 2]) -> EvalTransform {
        match self.framing {
            Framing::Timm { crop_mode, crop_pct } => {
                timm_transform(crop_mode, crop_pct, self, size)
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
    /// [`Error::Setting`](crate::Error::Setting) where there is none, [`Error::Resize`](crate::Error::Resize).
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

/// As `timm.data.transforms_imagenet_eval`.
fn timm_transform(
    crop_mode: CropMode,
    crop_pct: f64,
    preprocess: &Preprocess,
    size: [usize; 2],
) -> EvalTransform {
    let scale = size.map(|side| (side as f64 / crop_pct).floor() as usize);
    let resize = match crop_mode {
        CropMode::Center if scale[0] == scale[1] => Resize::Shorter(scale[0]),
        CropMode::Center => Resize::Cover(scale),
        CropMode::Squash => Resize::Exact(scale),
        CropMode::Border => Resize::Fit(scale),
    };
    let fill = match crop_mode {
        CropMode::Border => {
            preprocess.normalise.mean.map(|v| (f64::from(v) * 255.0).round_ties_even() as u8)
        }
        CropMode::Center | CropMode::Squash => [0; 3],
    };
    EvalTransform {
        size,
        resize,
        interpolation: preprocess.interpolation,
        offset: Offset::Even,
        fill,
    }
}

/// Three finite numbers, for the channels; one number stands for all.
pub(super) fn channels(json: &Value, key: &str) -> Result<[f64; 3], String> {
    let wrong = || format!("its {key} is {json}; it must be three numbers");
    let number = |value: &Value| value.as_f64().filter(|number| number.is_finite());
    match json {
        Value::Array(values) => {
            let values: Option<Vec<f64>> = values.iter().map(number).collect();
            values.and_then(|values| values.try_into().ok()).ok_or_else(wrong)
        }
        value => number(value).map(|value| [value; 3]).ok_or_else(wrong),
    }
}

/// Statistics as they are used; deviations must be above zero.
pub(super) fn statistics(mean: [f64; 3], std: [f64; 3]) -> Result<Normalise, String> {
    if std.iter().any(|&value| value <= 0.0) {
        return Err(format!("its standard deviation is {std:?}; it must be above 0"));
    }
    Ok(Normalise { mean: mean.map(|v| v as f32), std: std.map(|v| v as f32) })
}
