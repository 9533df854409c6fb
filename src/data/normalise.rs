use image::RgbImage;
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
