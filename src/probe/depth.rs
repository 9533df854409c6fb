use rayon::prelude::*;
use serde::Serialize;

use super::cross_entropy::exponentials;
use super::metrics::{DepthErrors, DepthScores};
use super::pixels::fine;
use super::segment::batch_mean;
use super::{FeatureRows, Gradients, HeadTask, LinearHead, LossAt, Resample, pixel_loss};
use crate::data::{DenseSet, DepthMap};
use crate::error::{Error, Result};

/// Images scored at a time.
const BATCH: usize = 16;

/// Depth as classes: bins of equal width from 0 to a largest depth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthBins {
    /// Number of bins.
    pub count: usize,
    /// Depths from here on do not count, in metres.
    pub max_depth: f32,
    /// Divides the logits before the softmax whose expectation is the prediction.
    pub temperature: f32,
}

impl Default for DepthBins {
    /// 256 bins to 10 m, temperature 0.03.
    fn default() -> Self {
        Self { count: 256, max_depth: 10.0, temperature: 0.03 }
    }
}

impl DepthBins {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if !(2..=usize::from(u16::MAX)).contains(&self.count) {
            return Err(Error::config(format!("{} bins; use 2 to {}", self.count, u16::MAX)));
        }
        if !positive(self.max_depth) || !positive(self.temperature) {
            return Err(Error::config(format!(
                "the largest depth is {} and the temperature {}; both must be above 0",
                self.max_depth, self.temperature
            )));
        }
        Ok(())
    }

    /// The bin of a depth; none for one that does not count.
    pub fn bin(&self, depth: f32) -> Option<u16> {
        let bin = || ((depth / self.max_depth * self.count as f32) as usize).min(self.count - 1);
        super::metrics::is_known(depth, self.max_depth).then(|| bin() as u16)
    }

    /// The expectation over the bins' middles under `softmax(logits / temperature)`.
    /// `logits` are overwritten.
    pub fn expectation(&self, logits: &mut [f32]) -> f32 {
        let (_, total) = exponentials(logits, 1.0 / self.temperature);
        let width = self.max_depth / self.count as f32;
        let middles = logits.iter().zip(0..).map(|(share, bin)| share * (bin as f32 + 0.5));
        middles.sum::<f32>() / total * width
    }
}

/// A depth for each pixel, by cross-entropy of its bin.
pub struct DepthTask<'a> {
    /// The depth maps.
    pub set: &'a dyn DenseSet<Truth = DepthMap>,
    /// The image in the set of each image that has features.
    pub places: &'a [usize],
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Where outputs and depths meet.
    pub at: LossAt,
    /// Depth as classes.
    pub bins: DepthBins,
}

impl HeadTask for DepthTask<'_> {
    fn outputs(&self) -> usize {
        self.bins.count
    }

    fn gradients(&self, indices: &[usize], outputs: Vec<f32>) -> Result<Option<Gradients>> {
        let image_loss = |(&index, logits): (&usize, &[f32])| {
            let DepthMap { size, metres } = self.set.truth(self.places[index])?;
            let targets: Vec<Option<u16>> =
                metres.into_iter().map(|depth| self.bins.bin(depth)).collect();
            Ok(pixel_loss(logits, self.grid, &targets, size, self.at))
        };
        batch_mean(indices, &outputs, image_loss)
    }
}

/// The depths at `size`, in metres: `logits` `[h, w, bins]` are upsampled
/// bilinearly to four times the grid and become depths there, which are upsampled
/// bilinearly to `size`.
pub fn predict_depth(
    logits: &[f32],
    grid: [usize; 2],
    size: [usize; 2],
    bins: &DepthBins,
) -> Vec<f32> {
    let fine = fine(grid);
    let resample = Resample::through(&[grid, fine]);
    let (mut line, mut between) = (vec![0.0; fine[1] * bins.count], Vec::new());
    let mut depths = Vec::with_capacity(fine[0] * fine[1]);
    for row in 0..fine[0] {
        resample.row(logits, bins.count, row, &mut between, &mut line);
        depths.extend(line.chunks_exact_mut(bins.count).map(|pixel| bins.expectation(pixel)));
    }
    Resample::through(&[fine, size]).apply(&depths, 1)
}

/// The errors of a whole set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthReport {
    /// Over all pixels of known depth.
    pub pixels: DepthScores,
    /// Means over images of each image's own errors.
    pub images: DepthScores,
}

/// Scores a head on all images of a task.
///
/// # Errors
/// Those of reading the depths, [`Error::Config`] where no depth is known, and
/// [`Error::Gpu`].
pub fn score_depth(
    head: &LinearHead,
    rows: &dyn FeatureRows,
    task: &DepthTask<'_>,
    report: &mut dyn FnMut(usize),
) -> Result<DepthReport> {
    let mut all_pixels = DepthErrors::default();
    let mut by_image: Vec<DepthScores> = Vec::new();
    let all: Vec<usize> = (0..rows.len()).collect();
    for batch in all.chunks(BATCH) {
        let outputs = head.outputs_of(rows.gather(batch))?;
        let each = outputs.len() / batch.len();
        let part = |(&index, logits): (&usize, &[f32])| {
            let truth = task.set.truth(task.places[index])?;
            let depths = predict_depth(logits, task.grid, truth.size, &task.bins);
            let mut part = DepthErrors::default();
            part.add(&truth.metres, &depths, task.bins.max_depth);
            Ok(part)
        };
        let parts: Vec<Result<DepthErrors>> =
            batch.par_iter().zip(outputs.par_chunks_exact(each)).map(part).collect();
        for part in parts {
            let part = part?;
            by_image.extend(part.scores());
            all_pixels.merge(&part);
        }
        report(batch.last().map_or(0, |last| last + 1));
    }
    let pixels = all_pixels.scores().ok_or_else(|| {
        Error::config(format!(
            "no pixel of the test set has a depth between 0 and {} m; is the unit right?",
            task.bins.max_depth
        ))
    })?;
    let mean = |value: &dyn Fn(&DepthScores) -> f64| {
        by_image.iter().map(value).sum::<f64>() / by_image.len() as f64
    };
    let images = DepthScores {
        rmse: mean(&|scores| scores.rmse),
        mae: mean(&|scores| scores.mae),
        rel: mean(&|scores| scores.rel),
        delta: [0, 1, 2].map(|power| mean(&|scores| scores.delta[power])),
        pixels: pixels.pixels,
    };
    Ok(DepthReport { pixels, images })
}
