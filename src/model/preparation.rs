use crate::data::{CropMode, Framing, Interpolation, Preprocess};
use crate::error::{Error, Result};

/// Departures from a model's own preparation of images; what is none stays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct PreprocessOptions {
    /// Share of the scaled image that the crop keeps, in (0, 1].
    pub crop_pct: Option<f64>,
    /// What happens to another aspect ratio.
    pub crop_mode: Option<CropMode>,
    /// The resampling filter.
    pub interpolation: Option<Interpolation>,
    /// Mean of R, G, B, of values in 0..1.
    pub mean: Option<[f32; 3]>,
    /// Deviation of R, G, B.
    pub std: Option<[f32; 3]>,
}

impl PreprocessOptions {
    /// The preparation with these departures. One of the crop turns the steps of a
    /// transformers image processor into timm's.
    ///
    /// # Errors
    /// [`Error::Setting`] for values that cannot be.
    pub fn over(&self, own: Preprocess) -> Result<Preprocess> {
        if let Some(pct) = self.crop_pct.filter(|&pct| !(pct > 0.0 && pct <= 1.0)) {
            return Err(Error::setting("crop_pct", pct, "it must lie between 0 and 1"));
        }
        if let Some(mean) = self.mean.filter(|mean| !mean.iter().all(|v| v.is_finite())) {
            return Err(Error::setting("mean", format!("{mean:?}"), "it must be finite"));
        }
        if let Some(std) = self.std.filter(|std| !std.iter().all(|v| v.is_finite() && *v > 0.0)) {
            return Err(Error::setting(
                "std",
                format!("{std:?}"),
                "std must be finite and above 0",
            ));
        }
        let mut preprocess = own;
        preprocess.normalise.mean = self.mean.unwrap_or(own.normalise.mean);
        preprocess.normalise.std = self.std.unwrap_or(own.normalise.std);
        preprocess.interpolation = self.interpolation.unwrap_or(own.interpolation);
        if self.crop_pct.is_some() || self.crop_mode.is_some() {
            let (mode, pct) = match own.framing {
                Framing::Timm { crop_mode, crop_pct } => (crop_mode, crop_pct),
                Framing::Steps(_) => (CropMode::Center, 1.0),
            };
            preprocess.framing = Framing::Timm {
                crop_mode: self.crop_mode.unwrap_or(mode),
                crop_pct: self.crop_pct.unwrap_or(pct),
            };
        }
        Ok(preprocess)
    }
}
