//! timm's `pretrained_cfg`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Framing, Preprocess, channels, statistics};
use crate::data::{EvalTransform, Offset, Resize};

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

/// Reads timm's `config.json`, with defaults from `base`; none where it is another
/// program's, or about another architecture than `arch`.
pub(super) fn read(
    json: &Value,
    arch: &str,
    base: &Preprocess,
) -> Result<Option<Preprocess>, String> {
    let bare = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let (Some(named), Some(config)) =
        (json["architecture"].as_str(), json.get("pretrained_cfg").filter(|cfg| cfg.is_object()))
    else {
        return Ok(None);
    };
    if bare(named) != bare(arch) {
        return Ok(None);
    }
    let given = |key: &str| config.get(key).filter(|value| !value.is_null());
    let of_channels = |key: &str, base: [f32; 3]| match given(key) {
        Some(value) => channels(value, key),
        None => Ok(base.map(f64::from)),
    };
    let mean = of_channels("mean", base.normalise.mean)?;
    let std = of_channels("std", base.normalise.std)?;
    let Framing::Timm { mut crop_mode, mut crop_pct } = base.framing else { return Ok(None) };
    let mut interpolation = base.interpolation;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(value) = given("interpolation") {
        interpolation = text(value).parse().map_err(|known| {
            format!("its interpolation is {value}, which is not known; {known}")
        })?;
    }
    if let Some(value) = given("crop_mode") {
        crop_mode = text(value)
            .parse()
            .map_err(|known| format!("its crop_mode is {value}, which is not known; {known}"))?;
    }
    if let Some(value) = given("crop_pct") {
        crop_pct = value
            .as_f64()
            .filter(|&pct| pct > 0.0 && pct <= 2.0)
            .ok_or_else(|| format!("its crop_pct is {value}; it must lie between 0 and 1"))?;
    }
    Ok(Some(Preprocess {
        normalise: statistics(mean, std)?,
        interpolation,
        framing: Framing::Timm { crop_mode, crop_pct },
    }))
}

/// As `timm.data.transforms_imagenet_eval`.
pub(super) fn transform(
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
