//! Resampling with Pillow's filters, and the limit on an image's size.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most pixels of an image that is decoded, unless another limit is set: Pillow's error
/// limit, half a gibibyte as 8-bit RGB.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Pillow's warning limit. A larger JPEG is decoded scaled, and none is decoded beside another
/// larger image; in a browser none is taken.
pub const LARGE_PIXELS: u64 = 89_478_485;

/// Rejects an image without pixels or with more than `limit`.
///
/// # Errors
/// [`Error::ImageSize`].
pub fn check_size(width: u64, height: u64, limit: u64) -> Result<()> {
    match width.checked_mul(height) {
        Some(pixels) if (1..=limit).contains(&pixels) => Ok(()),
        _ => Err(Error::ImageSize { width, height, limit }),
    }
}

/// A resampling filter under Pillow's name; all but `Nearest` are antialiased.
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

impl Interpolation {
    /// All filters.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// The name, as in configuration files.
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

impl fmt::Display for Interpolation {
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

/// Resizes a window (left, top, width, height) to `[h, w]` with Pillow's
/// antialiased filters on 8-bit values.
///
/// As in Pillow, rows are resized first and rounded to 8 bits. The resizing library by
/// itself starts with columns, which changes sharp edges by up to 11 grey levels.
pub(super) fn resample(
    image: &RgbImage,
    window: [u32; 4],
    [h, w]: [usize; 2],
    interpolation: Interpolation,
) -> Result<RgbImage> {
    let [_, _, width, height] = window;
    // A very tall image would be enormous between the two.
    let rows_first = (w as u64).saturating_mul(height.into()) <= LARGE_PIXELS;
    let (halfway_w, halfway_h) = if rows_first { (w as u32, height) } else { (width, h as u32) };
    let halfway = resize_to(image, window, [halfway_w, halfway_h], interpolation)?;
    let whole = [0, 0, halfway_w, halfway_h];
    resize_to(&halfway, whole, [w as u32, h as u32], interpolation)
}

/// A window of the image, which counts as the whole, resized to this width and height.
fn resize_to(
    image: &RgbImage,
    window: [u32; 4],
    [width, height]: [u32; 2],
    filter: Interpolation,
) -> Result<RgbImage> {
    let options = ResizeOptions::new().resize_alg(match filter {
        Interpolation::Nearest => ResizeAlg::Nearest,
        Interpolation::Box => ResizeAlg::Convolution(FilterType::Box),
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    });
    convolve(image, window, [width, height], &options).map_err(|reason| Error::Resize {
        from: [window[3] as usize, window[2] as usize],
        to: [height as usize, width as usize],
        reason,
    })
}

/// The library's call for one type of pixel: the one for any type builds its kernels for all of them.
fn convolve(
    image: &RgbImage,
    [left, top, w, h]: [u32; 4],
    [width, height]: [u32; 2],
    options: &ResizeOptions,
) -> Result<RgbImage, String> {
    let source = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw())
        .map_err(|error| error.to_string())?;
    let source =
        TypedCroppedImage::from_ref(&source, left, top, w, h).map_err(|error| error.to_string())?;
    let mut resized = RgbImage::new(width, height);
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut resized)
        .map_err(|error| error.to_string())?;
    Resizer::new()
        .resize_typed(&source, &mut target, options)
        .map_err(|error| error.to_string())?;
    Ok(resized)
}
