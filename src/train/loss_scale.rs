use serde::{Deserialize, Serialize};

/// How the loss is scaled so that small gradients survive half precision: its smallest
/// number is 6e-8, and the gradient of a mean over all tokens is often below.
///
/// The gradients of a scaled loss are divided by the scale before they are clipped and used.
/// A step whose gradients are not all finite is left out and the scale halved; after
/// `growth_every` steps without one it doubles (Micikevicius et al. 2018, arXiv 1710.03740).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LossScaleSettings {
    /// The first scale, a power of two.
    pub initial: f32,
    /// Steps in a row with finite gradients after which the scale doubles.
    pub growth_every: usize,
}

impl Default for LossScaleSettings {
    /// Those of PyTorch's `GradScaler`: 65,536 and 2,000 steps.
    fn default() -> Self {
        Self { initial: 65_536.0, growth_every: 2_000 }
    }
}

impl LossScaleSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::train::LossScaleSettings::default().with(|s| s.initial = 1024.0);
    /// assert_eq!((settings.initial, settings.growth_every), (1024.0, 2000));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The scale of a run's loss now, as a checkpoint keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// A power of two, so that scaling alone rounds nothing.
    pub scale: f32,
    /// Steps with finite gradients since the scale changed.
    pub good: usize,
    /// Steps left out so far.
    pub skipped: usize,
}

impl LossScale {
    /// Below this scale it is not half precision that makes gradients infinite.
    const SMALLEST: f32 = 1.0 / 65_536.0;

    /// At its start.
    pub fn new(settings: LossScaleSettings) -> Self {
        Self { scale: settings.initial, good: 0, skipped: 0 }
    }

    /// Takes note of a step; `finite` says whether its gradients were. False where the scale
    /// is as small as it gets and they still are not.
    #[must_use]
    pub fn update(&mut self, finite: bool, settings: LossScaleSettings) -> bool {
        if !finite {
            self.skipped += 1;
            self.good = 0;
            self.scale /= 2.0;
            return self.scale >= Self::SMALLEST;
        }
        self.good += 1;
        if self.good >= settings.growth_every {
            self.good = 0;
            self.scale *= 2.0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_at_an_overflow_and_doubles_after_enough_good_steps() {
        let settings = LossScaleSettings { initial: 8.0, growth_every: 3 };
        let mut scale = LossScale::new(settings);
        let steps = [true, true, false, true, true, true, true, false];
        let seen = steps.map(|finite| {
            assert!(scale.update(finite, settings));
            scale.scale
        });
        assert_eq!(seen, [8.0, 8.0, 4.0, 4.0, 4.0, 8.0, 8.0, 4.0]);
        assert_eq!(scale, LossScale { scale: 4.0, good: 0, skipped: 2 });
    }

    #[test]
    fn a_scale_that_cannot_help_is_said() {
        let settings = LossScaleSettings { initial: 1.0, growth_every: 3 };
        let mut scale = LossScale::new(settings);
        let steps = (0..100).take_while(|_| scale.update(false, settings)).count();
        assert_eq!(steps, 16);
    }
}
