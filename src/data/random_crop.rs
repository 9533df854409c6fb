use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::resample::resample;
use crate::vit::Interpolation;

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

impl TrainTransform {
    pub(super) fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let window = self.window(image.width(), image.height(), rng);
        let mut out = resample(image, window, self.size, Interpolation::Bicubic);
        if rng.random_bool(self.flip) {
            image::imageops::flip_horizontal_in_place(&mut out);
        }
        out
    }

    /// Left, top, width and height of the crop, by torchvision's rule: ten
    /// tries, then the largest centred window of an allowed ratio.
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
