use crate::data::{CropMode, Interpolation};
use crate::data::{Edges, Framing, Preprocess, Steps};

/// How images must reach an exported model, in timm's terms, which all forms can
/// express.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimmPreprocess {
    /// Mean of R, G, B, of values in 0..1.
    pub(super) mean: [f32; 3],
    /// Deviation of R, G, B.
    pub(super) std: [f32; 3],
    /// The resampling filter.
    pub(super) interpolation: Interpolation,
    /// What happens to another aspect ratio.
    pub(super) crop_mode: CropMode,
    /// Share of the resized image that the crop keeps, in (0, 1].
    pub(super) crop_pct: f64,
}

impl TimmPreprocess {
    /// What a model of images of `size` `[H, W]` is prepared with.
    pub(super) fn of(preprocess: &Preprocess, size: [usize; 2]) -> Self {
        let (crop_mode, crop_pct) = match preprocess.framing {
            Framing::Timm { crop_mode, crop_pct } => (crop_mode, crop_pct),
            Framing::Steps(steps) => framing(&steps, size),
        };
        Self {
            mean: preprocess.normalise.mean,
            std: preprocess.normalise.std,
            interpolation: preprocess.interpolation,
            crop_mode,
            crop_pct,
        }
    }

    /// Both sides in pixels to which an image of the model's aspect ratio is resized
    /// before the crop.
    pub(super) fn resized(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| (side as f64 / self.crop_pct).floor() as usize)
    }

    /// The resize in words.
    pub(super) fn describe(&self, size: [usize; 2]) -> String {
        let [height, width] = self.resized(size);
        let filter = self.interpolation;
        match self.crop_mode {
            CropMode::Center => {
                format!("shorter side to {} pixels ({filter}), centre crop", height.min(width))
            }
            CropMode::Squash if self.crop_pct == 1.0 => {
                format!("resized to {height}x{width} whatever their aspect ratio ({filter})")
            }
            CropMode::Squash => {
                format!(
                    "resized to {height}x{width} whatever their aspect ratio ({filter}), centre crop"
                )
            }
            CropMode::Border => {
                format!(
                    "longer side to {} pixels ({filter}), borders of the mean colour",
                    height.max(width)
                )
            }
        }
    }
}

/// An image processor's steps in timm's terms.
fn framing(steps: &Steps, size: [usize; 2]) -> (CropMode, f64) {
    let [height, width] = steps.crop.unwrap_or(size);
    let share = |kept: usize, of: usize| (kept as f64 / of.max(1) as f64).min(1.0);
    match steps.resize {
        Some(Edges::Size([resized, _])) => (CropMode::Squash, share(height, resized)),
        Some(Edges::ShortestEdge(edge)) => (CropMode::Center, share(height.min(width), edge)),
        None => (CropMode::Center, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Normalise;

    #[test]
    fn an_image_processors_steps_become_a_crop_of_the_same_share() {
        let of = |resize, crop| {
            let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
            let framing = Framing::Steps(Steps { resize, crop });
            let preprocess =
                Preprocess { normalise, interpolation: Interpolation::Bilinear, framing };
            let TimmPreprocess { crop_mode, crop_pct, .. } =
                TimmPreprocess::of(&preprocess, [224; 2]);
            (crop_mode, crop_pct)
        };
        let dinov2 = of(Some(Edges::ShortestEdge(256)), Some([224; 2]));
        assert_eq!(dinov2, (CropMode::Center, 0.875));
        assert_eq!(of(Some(Edges::Size([224; 2])), None), (CropMode::Squash, 1.0));
        assert_eq!(of(Some(Edges::Size([256; 2])), Some([224; 2])), (CropMode::Squash, 0.875));
        assert_eq!(of(None, None), (CropMode::Center, 1.0));
    }
}
