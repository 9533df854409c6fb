use image::RgbImage;
use rand_chacha::ChaCha8Rng;

use super::{EvalTransform, TrainTransform, eval_crop};

/// How an image becomes one of the model's size.
#[derive(Debug, Clone, Copy)]
pub enum Transform {
    /// Random, for training.
    Train(TrainTransform),
    /// Fixed, for measuring.
    Eval(EvalTransform),
}

impl Transform {
    /// Applies the transform; `rng` is used by the random one only.
    pub fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        match self {
            Self::Train(transform) => transform.apply(image, rng),
            Self::Eval(transform) => eval_crop(image, transform),
        }
    }
}
