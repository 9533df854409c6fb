use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Channel mean and standard deviation, of values in 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalise {
    /// Mean of R, G, B.
    pub mean: [f32; 3],
    /// Deviation of R, G, B.
    pub std: [f32; 3],
}

impl Normalise {
    /// Appends an 8-bit image as `[3, H, W]`.
    pub fn append(&self, image: &RgbImage, out: &mut Vec<f32>) {
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let table: [f32; 256] =
                std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
            out.extend(image.as_raw().iter().skip(channel).step_by(3).map(|&v| table[v as usize]));
        }
    }
}

/// How an image becomes one of the model's size.
#[derive(Debug, Clone, Copy)]
pub enum Transform {
    /// Random, for training.
    Train(TrainTransform),
    /// Fixed, for measuring.
    Eval(EvalTransform),
    /// The whole frame at height and width, whatever its own aspect ratio;
    /// Pillow's bicubic filter.
    Stretch([usize; 2]),
}

/// torchvision's RandomResizedCrop with bicubic filter, then a horizontal flip.
#[derive(Debug, Clone, Copy)]
pub struct TrainTransform {
    /// Output height and width.
    pub size: [usize; 2],
    /// Smallest and largest share of the area.
    pub scale: [f64; 2],
    /// Smallest and largest width over height.
    pub ratio: [f64; 2],
    /// Probability of a flip.
    pub flip: f64,
}

/// Shorter side to `resize`, centre crop to `size`; Pillow's bicubic filter.
#[derive(Debug, Clone, Copy)]
pub struct EvalTransform {
    /// Output height and width.
    pub size: [usize; 2],
    /// Length of the shorter side before the crop.
    pub resize: usize,
}

impl Transform {
    /// Applies the transform; `rng` is used by the random one only.
    pub fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        match self {
            Self::Train(transform) => transform.apply(image, rng),
            Self::Eval(transform) => eval_crop(image, transform),
            Self::Stretch(size) => {
                let [width, height] = [f64::from(image.width()), f64::from(image.height())];
                resize(image, [0.0, 0.0, width, height], *size)
            }
        }
    }
}

impl TrainTransform {
    fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let window = self.window(image.width(), image.height(), rng);
        let mut out = resize(image, window, self.size);
        if rng.random_bool(self.flip) {
            image::imageops::flip_horizontal_in_place(&mut out);
        }
        out
    }

    /// Left, top, width and height of the crop, by torchvision's rule: ten
    /// tries, then the largest centred window of an allowed ratio.
    fn window(&self, width: u32, height: u32, rng: &mut ChaCha8Rng) -> [f64; 4] {
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
                return [f64::from(left), f64::from(top), w, h];
            }
        }
        let (w, h) = (f64::from(width), f64::from(height));
        let (cw, ch) = match w / h {
            ratio if ratio < low => (w, (w / low).round().min(h)),
            ratio if ratio > high => ((h * high).round().min(w), h),
            _ => (w, h),
        };
        [((w - cw) / 2.0).floor(), ((h - ch) / 2.0).floor(), cw, ch]
    }
}

/// The evaluation crop: the other side is truncated to whole pixels, and the
/// crop's offset rounded, as torchvision does.
pub fn eval_crop(image: &RgbImage, transform: &EvalTransform) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let short = transform.resize.max(1);
    let (w, h) = if width <= height {
        (short, (short * height / width).max(1))
    } else {
        ((short * width / height).max(1), short)
    };
    let [out_h, out_w] = transform.size;
    let resized = resize(image, [0.0, 0.0, width as f64, height as f64], [h, w]);
    let offset = |side: usize, crop: usize| {
        // Half to even, as Python's round.
        ((side as f64 - crop as f64) / 2.0).round_ties_even() as i64
    };
    let (left, top) = (offset(w, out_w), offset(h, out_h));
    RgbImage::from_fn(out_w as u32, out_h as u32, |x, y| {
        let (x, y) = (i64::from(x) + left, i64::from(y) + top);
        let inside = x >= 0 && y >= 0 && x < w as i64 && y < h as i64;
        if inside { *resized.get_pixel(x as u32, y as u32) } else { image::Rgb([0; 3]) }
    })
}

/// The transform that scales an image of `size` `[H, W]` so that its shorter
/// side is `short` pixels (none: as it is) and keeps the largest centre crop of
/// whole square patches; none where that is less than one patch.
///
/// Only the size is looked at, so what an image would cost is known before it is
/// resized.
pub fn whole_patches(
    [height, width]: [usize; 2],
    short: Option<usize>,
    patch: usize,
) -> Option<EvalTransform> {
    let shorter = height.min(width);
    let resize = short.unwrap_or(shorter);
    // As `eval_crop` scales.
    let scaled = |side: usize| (resize * side).checked_div(shorter).unwrap_or(0);
    let size = [height, width].map(|side| scaled(side).checked_div(patch).unwrap_or(0) * patch);
    (!size.contains(&0)).then_some(EvalTransform { size, resize })
}

/// Resizes a window (left, top, width, height) to `[h, w]` with Pillow's
/// antialiased bicubic filter on 8-bit values.
///
/// As in Pillow, rows come first and are rounded to 8 bits; the library on its
/// own would begin with columns, which moves sharp edges by up to 11 grey levels.
fn resize(image: &RgbImage, window: [f64; 4], [h, w]: [usize; 2]) -> RgbImage {
    let [left, top, width, height] = window.map(|value| value as u32);
    let crop = image::imageops::crop_imm(image, left, top, width, height).to_image();
    let rows_done = resize_to(&crop, w as u32, height);
    resize_to(&rows_done, w as u32, h as u32)
}

fn resize_to(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3);
    let mut target = Image::new(width, height, PixelType::U8x3);
    let filter = ResizeAlg::Convolution(FilterType::CatmullRom);
    let options = ResizeOptions::new().resize_alg(filter);
    let done =
        source.is_ok_and(|source| Resizer::new().resize(&source, &mut target, &options).is_ok());
    debug_assert!(done, "source and target are RGB images of their stated sizes");
    RgbImage::from_raw(width, height, target.into_vec())
        .unwrap_or_else(|| RgbImage::new(width, height))
}
