use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resampling filter under Pillow's name; all but `Nearest` antialias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The mean of the covered pixels.
    Box,
    /// Linear.
    Bilinear,
    /// Hamming window.
    Hamming,
    /// Cubic, a = -0.5.
    Bicubic,
    /// Lanczos, three lobes.
    Lanczos,
}

/// How timm fits an image of another shape, as its `crop_mode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// The shorter side is scaled and the centre kept.
    Center,
    /// Both sides are scaled, whatever the aspect ratio.
    Squash,
    /// The longer side is scaled and the rest filled with the mean colour.
    Border,
}

impl Interpolation {
    /// All filters.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// The name, as configurations write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }
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

impl fmt::Display for Interpolation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl fmt::Display for CropMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Interpolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|filter| filter.name() == text);
        known.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl FromStr for CropMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mode| mode.name() == text);
        known.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}
