//! Patch tokens of `[B, T, D]`, apart from the class and register tokens before them: their
//! norms, a quantile of each image's norms, and how far the norms spread.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

#[cfg(not(target_family = "wasm"))]
use crate::error::Result;
#[cfg(not(target_family = "wasm"))]
use crate::readback::read;
use crate::statistics::median;

/// Comparisons of [`quantile`] held at a time; bounds the memory of long rows.
const COMPARISONS: usize = 1 << 24;

/// Changes the patch tokens alone, `[B, T, D] -> [B, T, D]`; the first `prefix`
/// tokens (class, registers) pass unchanged.
pub(crate) fn on_patches(
    tokens: Tensor<3>,
    prefix: usize,
    change: impl FnOnce(Tensor<3>) -> Tensor<3>,
) -> Tensor<3> {
    // burn takes no slice of zero tokens.
    if prefix == 0 {
        return change(tokens);
    }
    let count = tokens.dims()[1] - prefix;
    let fixed = tokens.clone().narrow(1, 0, prefix);
    Tensor::cat(vec![fixed, change(tokens.narrow(1, prefix, count))], 1)
}

/// Every token over its L2 norm: `[.., D] -> [.., D]`. A zero token stays zero.
pub(crate) fn unit_length<const N: usize>(tokens: Tensor<N>) -> Tensor<N> {
    let norms = tokens.clone().square().sum_dim(N - 1).clamp_min(1e-24).sqrt();
    tokens / norms
}

/// L2 norm of every patch token, `[B, T, D] -> [B, P]`; the first `prefix`
/// tokens (class, registers) are left out.
pub fn patch_norms(tokens: Tensor<3>, prefix: usize) -> Tensor<2> {
    let count = tokens.dims()[1] - prefix;
    let patches = tokens.narrow(1, prefix, count);
    // The clamp gives a zero token a gradient of zero instead of NaN.
    patches.square().sum_dim(2).clamp_min(1e-24).sqrt().squeeze_dim::<2>(2)
}

/// The q-quantile of each row with linear interpolation between ranks, as
/// NumPy's and PyTorch's default: `[B, P] -> [B, 1]`. Exact on every device.
///
/// burn sorts on the host for a GPU, and its top-k is for small k, so ranks are
/// counted by comparing all pairs of a row.
///
/// # Panics
/// Where `q` is outside 0..=1 or P is 0.
pub fn quantile(values: Tensor<2>, q: f64) -> Tensor<2> {
    assert!((0.0..=1.0).contains(&q), "a quantile's q lies in 0..=1, not {q}");
    let [rows, count] = values.dims();
    let at_once = (COMPARISONS / (count * count)).max(1);
    let parts = (0..rows).step_by(at_once).map(|start| {
        let part = values.clone().narrow(0, start, at_once.min(rows - start));
        quantile_of_few(part, q)
    });
    Tensor::cat(parts.collect(), 0)
}

fn quantile_of_few(values: Tensor<2>, q: f64) -> Tensor<2> {
    let [rows, count] = values.dims();
    let shape = [rows, count, count];
    let each = values.clone().unsqueeze_dim::<3>(2).expand(shape);
    let others = values.clone().unsqueeze_dim::<3>(1).expand(shape);
    // How many of its row each value exceeds.
    let below = each.greater(others).float().sum_dim(2).squeeze_dim::<2>(2);
    let ranked = |rank: f64| {
        let later = below.clone().greater_scalar(rank);
        values.clone().mask_fill(later, f32::NEG_INFINITY).max_dim(1)
    };
    let rank = q * (count - 1) as f64;
    let lower = ranked(rank.floor());
    let fraction = rank.fract();
    if fraction == 0.0 {
        return lower;
    }
    lower.clone() + (ranked(rank.floor() + 1.0) - lower) * fraction
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
        let median = median(norms);
        self.outliers += norms.iter().filter(|&&norm| norm > 3.0 * median).count();
        let max = norms.iter().copied().fold(0.0, f32::max);
        self.ratios.push(max / median.max(f32::MIN_POSITIVE));
        self.all.extend(norms);
    }

    /// The summary of all norms added; none before the first.
    pub fn summary(&self) -> Option<NormSummary> {
        if self.all.is_empty() {
            return None;
        }
        Some(NormSummary {
            median: median(&self.all),
            max: self.all.iter().copied().fold(0.0, f32::max),
            max_over_median: self.ratios.iter().sum::<f32>() / self.ratios.len() as f32,
            outlier_share: self.outliers as f32 / self.all.len() as f32,
            patches: self.all.len(),
        })
    }
}
