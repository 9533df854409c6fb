use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

#[cfg(not(target_family = "wasm"))]
use crate::error::Result;
#[cfg(not(target_family = "wasm"))]
use crate::readback::read;

/// L2 norm of every patch token, `[B, T, D] -> [B, P]`; the first `prefix`
/// tokens (class, registers) are left out.
pub fn patch_norms(tokens: Tensor<3>, prefix: usize) -> Tensor<2> {
    let count = tokens.dims()[1] - prefix;
    let patches = tokens.narrow(1, prefix, count);
    // The clamp gives a zero token a gradient of zero instead of NaN.
    patches.square().sum_dim(2).clamp_min(1e-24).sqrt().squeeze_dim::<2>(2)
}

/// How far the patch norms of a set of images spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NormSummary {
    /// Median norm over all patches.
    pub median: f32,
    /// Largest norm over all patches.
    pub max: f32,
    /// Mean over images of that image's largest norm over its median.
    pub max_over_median: f32,
    /// Share of patches with more than three times their image's median.
    pub outlier_share: f32,
    /// Patches counted.
    pub patches: usize,
}

/// Collects patch norms image by image.
#[derive(Debug, Default, Clone)]
pub struct NormStats {
    all: Vec<f32>,
    ratios: Vec<f32>,
    outliers: usize,
}

impl NormStats {
    /// Adds norms `[B, P]`.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu).
    #[cfg(not(target_family = "wasm"))]
    pub fn add(&mut self, norms: Tensor<2>) -> Result<()> {
        let patches = norms.dims()[1];
        read(norms)?.chunks(patches).for_each(|image| self.add_image(image));
        Ok(())
    }

    /// Adds the norms of one image's patches.
    pub fn add_image(&mut self, norms: &[f32]) {
        let mut sorted = norms.to_vec();
        let median = median(&mut sorted);
        self.outliers += sorted.iter().filter(|&&norm| norm > 3.0 * median).count();
        let max = sorted.iter().copied().fold(0.0, f32::max);
        self.ratios.push(max / median.max(f32::MIN_POSITIVE));
        self.all.extend(norms);
    }

    /// The summary of all norms added; none before the first.
    pub fn summary(&self) -> Option<NormSummary> {
        if self.all.is_empty() {
            return None;
        }
        let mut all = self.all.clone();
        Some(NormSummary {
            median: median(&mut all),
            max: self.all.iter().copied().fold(0.0, f32::max),
            max_over_median: self.ratios.iter().sum::<f32>() / self.ratios.len() as f32,
            outlier_share: self.outliers as f32 / self.all.len() as f32,
            patches: self.all.len(),
        })
    }
}

fn median(values: &mut [f32]) -> f32 {
    values.sort_by(f32::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
