//! From an image of any size to the pixels that a model takes: the random crop of
//! training, the fixed crop of evaluation, and normalisation.

use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::resample::{Interpolation, LARGE_PIXELS, resample};
use crate::error::{Error, Result};

/// A transform from an image of any size to one of the model's size.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Transform {
    /// The random transform of training.
    Train(TrainTransform),
    /// The fixed transform of evaluation.
    Eval(EvalTransform),
    /// The whole image resized to this height and width without keeping its aspect
    /// ratio, with Pillow's bicubic filter.
    Stretch([usize; 2]),
}

impl Transform {
    /// Height and width of what it makes.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Train(transform) => transform.size,
            Self::Eval(transform) => transform.size,
            Self::Stretch(size) => *size,
        }
    }

    /// Applies the transform; only the random one draws from `rng`.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the loader is native"))]
    pub(super) fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> Result<RgbImage> {
        match self {
            Self::Train(transform) => transform.apply(image, rng),
            Self::Eval(transform) => eval_crop(image, transform),
            Self::Stretch(size) => {
                let resize = Resize::Exact(*size);
                eval_crop(image, &EvalTransform { resize, ..EvalTransform::centre(*size, 1) })
            }
        }
    }
}

/// torchvision's RandomResizedCrop with bicubic filter, then a horizontal flip.
#[derive(Debug, Clone, Copy)]
pub struct TrainTransform {
    /// Output height and width.
    pub size: [usize; 2],
    /// Smallest and largest area of the crop as a share of the image's.
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio of the crop, width over height.
    pub ratio: [f64; 2],
    /// Probability of a flip.
    pub flip: f64,
}

impl TrainTransform {
    fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> Result<RgbImage> {
        let window = self.window(image.width(), image.height(), rng);
        let mut out = resample(image, window, self.size, Interpolation::Bicubic)?;
        if rng.random_bool(self.flip) {
            image::imageops::flip_horizontal_in_place(&mut out);
        }
        Ok(out)
    }

    /// Left, top, width and height of the crop, by torchvision's rule: ten random
    /// tries, then the largest centred window with an allowed aspect ratio.
    fn window(&self, width: u32, height: u32, rng: &mut ChaCha8Rng) -> [u32; 4] {
        let area = f64::from(width) * f64::from(height);
        let [low, high] = self.ratio;
        for _ in 0..10 {
            let target = area * rng.random_range(self.scale[0]..=self.scale[1]);
            let ratio = rng.random_range(low.ln()..=high.ln()).exp();
            let w = (target * ratio).sqrt().round();
            let h = (target / ratio).sqrt().round();
            if w >= 1.0 && h >= 1.0 && w <= f64::from(width) && h <= f64::from(height) {
                let left = rng.random_range(0..=width - w as u32);
                let top = rng.random_range(0..=height - h as u32);
                return [left, top, w as u32, h as u32];
            }
        }
        let (w, h) = (f64::from(width), f64::from(height));
        let (cw, ch) = match w / h {
            ratio if ratio < low => (w, (w / low).round().min(h)),
            ratio if ratio > high => ((h * high).round().min(w), h),
            _ => (w, h),
        };
        [(w - cw) / 2.0, (h - ch) / 2.0, cw, ch].map(|value| value as u32)
    }
}

/// The fixed transform of evaluation: resize, then centre crop or padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalTransform {
    /// Output height and width.
    pub size: [usize; 2],
    /// How the image is scaled before the crop.
    pub resize: Resize,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// How the crop is centred when the margin is odd.
    pub offset: Offset,
    /// Colour of the padding.
    pub fill: [u8; 3],
}

/// How an image is scaled; lengths in pixels, sizes as height and width.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Resize {
    /// Not at all.
    Keep,
    /// The shorter side to this length and the other in proportion, truncated:
    /// torchvision's `Resize(length)` and transformers' `shortest_edge`.
    Shorter(usize),
    /// To this size, without keeping the aspect ratio.
    Exact([usize; 2]),
    /// In proportion, so that both sides are at least these, rounded: timm's
    /// `ResizeKeepRatio`.
    Cover([usize; 2]),
    /// In proportion, so that both sides are at most these, rounded: the same with
    /// `longest=1`.
    Fit([usize; 2]),
}

/// How half a pixel of offset is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// To the even number, as Python rounds, hence torchvision and timm.
    Even,
    /// Down, as transformers does.
    Down,
}

impl EvalTransform {
    /// Shorter side to `short`, centre crop to `size`, with Pillow's bicubic filter.
    pub fn centre(size: [usize; 2], short: usize) -> Self {
        Self {
            size,
            resize: Resize::Shorter(short),
            interpolation: Interpolation::Bicubic,
            offset: Offset::Even,
            fill: [0; 3],
        }
    }
}

impl Resize {
    /// Height and width of the scaled image, each at least 1.
    pub fn target(self, [height, width]: [usize; 2]) -> [usize; 2] {
        let ratios = |size: [usize; 2]| {
            [height as f64 / size[0].max(1) as f64, width as f64 / size[1].max(1) as f64]
        };
        let divided = |ratio: f64| {
            [height, width].map(|side| (side as f64 / ratio).round_ties_even() as usize)
        };
        let sides = match self {
            Self::Keep => [height, width],
            Self::Shorter(short) if width <= height => [short * height / width.max(1), short],
            Self::Shorter(short) => [short, short * width / height.max(1)],
            Self::Exact(size) => size,
            Self::Cover(size) => divided(ratios(size)[0].min(ratios(size)[1])),
            Self::Fit(size) => divided(ratios(size)[0].max(ratios(size)[1])),
        };
        sides.map(|side| side.max(1))
    }
}

/// Applies the evaluation transform.
///
/// # Errors
/// [`Error::Resize`](crate::Error::Resize).
pub fn eval_crop(image: &RgbImage, transform: &EvalTransform) -> Result<RgbImage> {
    let size = [image.height() as usize, image.width() as usize];
    let target = transform.resize.target(size);
    let area = (target[0] as u64).saturating_mul(target[1] as u64);
    if area > LARGE_PIXELS
        && let Some(centre) = needed_part(image, target, transform.size)
    {
        return eval_crop(&centre, transform);
    }
    let scaled = match target == size {
        true => None,
        false => {
            let whole = [0, 0, image.width(), image.height()];
            Some(resample(image, whole, target, transform.interpolation)?)
        }
    };
    let scaled = scaled.as_ref().unwrap_or(image);
    let [top, left] = [0, 1].map(|i| start(target[i], transform.size[i], transform.offset));
    let [out_h, out_w] = transform.size;
    Ok(RgbImage::from_fn(out_w as u32, out_h as u32, |x, y| {
        let (x, y) = (i64::from(x) + left, i64::from(y) + top);
        let inside = x >= 0 && y >= 0 && x < target[1] as i64 && y < target[0] as i64;
        if inside { *scaled.get_pixel(x as u32, y as u32) } else { Rgb(transform.fill) }
    }))
}

/// The start of a centred crop of `crop` pixels in a side. It is negative where the
/// crop is longer; an odd pixel of padding goes to the end.
fn start(side: usize, crop: usize, offset: Offset) -> i64 {
    if crop > side {
        return -(((crop - side) / 2) as i64);
    }
    let half = (side - crop) as f64 / 2.0;
    match offset {
        Offset::Even => half.round_ties_even() as i64,
        Offset::Down => half.floor() as i64,
    }
}

/// The part of a very long image that the crop needs, with a margin for the filter;
/// resizing the whole could take any amount of memory. None where it needs all.
fn needed_part(image: &RgbImage, target: [usize; 2], crop: [usize; 2]) -> Option<RgbImage> {
    const MARGIN: f64 = 16.0;
    let needed = |side: u32, target: usize, crop: usize| {
        let source = crop as f64 * f64::from(side) / target as f64;
        let odd = side % 2;
        // The centre stays the centre where as much is cut off on both ends.
        ((((source + MARGIN) / 2.0).ceil() * 2.0) as u32 + odd).min(side)
    };
    let (width, height) = (image.width(), image.height());
    let part = (needed(width, target[1], crop[1]), needed(height, target[0], crop[0]));
    if part == (width, height) {
        return None;
    }
    let (left, top) = ((width - part.0) / 2, (height - part.1) / 2);
    Some(image::imageops::crop_imm(image, left, top, part.0, part.1).to_image())
}

/// The transform that scales an image of `size` `[H, W]` so that its shorter
/// side is `short` pixels (none: as it is) and keeps the largest centre crop of
/// whole square patches; none where that is less than one patch.
///
/// It depends on the size alone, so the cost of an image is known before it is resized.
pub fn whole_patches(
    [height, width]: [usize; 2],
    short: Option<usize>,
    patch: usize,
    interpolation: Interpolation,
) -> Option<EvalTransform> {
    let shorter = height.min(width);
    let short = short.unwrap_or(shorter);
    // As `Resize::Shorter` scales.
    let scaled = |side: usize| (short * side).checked_div(shorter).unwrap_or(0);
    let size = [height, width].map(|side| scaled(side).checked_div(patch).unwrap_or(0) * patch);
    let transform = EvalTransform { interpolation, ..EvalTransform::centre(size, short) };
    (!size.contains(&0)).then_some(transform)
}

/// Channel mean and standard deviation of pixel values scaled to 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalise {
    /// Mean of R, G, B.
    pub mean: [f32; 3],
    /// Standard deviation of R, G, B.
    pub std: [f32; 3],
}

impl Normalise {
    /// Images of one size as a tensor `[B, 3, H, W]`.
    ///
    /// # Errors
    /// [`Error::Setting`] where their sizes differ, or there is none.
    pub fn batch<'a>(
        &self,
        images: impl IntoIterator<Item = &'a RgbImage>,
        device: &BurnDevice,
    ) -> Result<Tensor<4>> {
        let mut pixels = Vec::new();
        let mut count = 0;
        let mut size = None;
        for image in images {
            let own = [image.height() as usize, image.width() as usize];
            let [height, width] = *size.get_or_insert(own);
            if own != [height, width] {
                let sizes = format!("{height}x{width} and {}x{} pixels", own[0], own[1]);
                return Err(Error::setting("images", sizes, "a batch must have one size"));
            }
            self.append(image, &mut pixels);
            count += 1;
        }
        let [height, width] =
            size.ok_or_else(|| Error::setting("images", "empty", "there must be at least one"))?;
        Ok(Tensor::from_data(TensorData::new(pixels, [count, 3, height, width]), device))
    }

    /// Appends an 8-bit image, normalised, as `[3, H, W]`.
    pub fn append(&self, image: &RgbImage, out: &mut Vec<f32>) {
        let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
        });
        let (pixels, _) = image.as_raw().as_chunks::<3>();
        for (channel, table) in tables.iter().enumerate() {
            out.extend(pixels.iter().map(|pixel| table[usize::from(pixel[channel])]));
        }
    }
}
