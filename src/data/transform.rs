use image::RgbImage;
use rand_chacha::ChaCha8Rng;

use super::{EvalTransform, Resize, TrainTransform, eval_crop};

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

impl Transform {
    /// Applies the transform; `rng` is used by the random one only.
    pub fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
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
