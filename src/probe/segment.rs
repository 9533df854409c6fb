use rayon::prelude::*;

use super::metrics::{Confusion, SegmentationScores};
use super::pixels::fine;
use super::{FeatureRows, Gradients, HeadTask, LinearHead, LossAt, Resample, pixel_loss};
use crate::data::{LabelMap, SegmentationSet, VOID};
use crate::error::Result;

/// Images scored at a time.
const BATCH: usize = 16;

/// A class for each pixel, by cross-entropy over those that are not void.
pub struct SegmentTask<'a> {
    /// The label maps.
    pub set: &'a dyn SegmentationSet,
    /// The image in the set of each image that has features.
    pub places: &'a [usize],
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Where outputs and labels meet.
    pub at: LossAt,
}

impl HeadTask for SegmentTask<'_> {
    fn outputs(&self) -> usize {
        self.set.classes().len()
    }

    fn gradients(&self, indices: &[usize], outputs: Vec<f32>) -> Result<Option<Gradients>> {
        let image_loss = |(&index, logits): (&usize, &[f32])| {
            let LabelMap { size, labels } = self.set.truth(self.places[index])?;
            let targets: Vec<Option<u16>> =
                labels.into_iter().map(|label| (label != VOID).then_some(label)).collect();
            Ok(pixel_loss(logits, self.grid, &targets, size, self.at))
        };
        batch_mean(indices, &outputs, image_loss)
    }
}

/// The mean over all pixels of a batch that count, from each image's sum, count
/// and gradient.
pub(super) fn batch_mean(
    indices: &[usize],
    outputs: &[f32],
    image_loss: impl Fn((&usize, &[f32])) -> Result<(f64, usize, Vec<f32>)> + Send + Sync,
) -> Result<Option<Gradients>> {
    let each = outputs.len() / indices.len();
    let images: Vec<Result<_>> =
        indices.par_iter().zip(outputs.par_chunks_exact(each)).map(image_loss).collect();
    let (mut loss, mut count) = (0.0, 0);
    let mut gradient = Vec::with_capacity(outputs.len());
    for image in images {
        let (sum, pixels, part) = image?;
        loss += sum;
        count += pixels;
        gradient.extend(part);
    }
    let share = 1.0 / count.max(1) as f32;
    gradient.iter_mut().for_each(|value| *value *= share);
    Ok((count > 0).then_some(Gradients { loss: loss / count as f64, outputs: gradient }))
}

/// The best class of each pixel at `size` (the first of equals): `logits`
/// `[h, w, C]` are upsampled bilinearly to four times the grid and on to `size`.
pub fn predict_labels(logits: &[f32], grid: [usize; 2], size: [usize; 2]) -> Vec<u16> {
    let classes = logits.len() / (grid[0] * grid[1]);
    let resample = Resample::through(&[grid, fine(grid), size]);
    let (mut line, mut between) = (vec![0.0; size[1] * classes], Vec::new());
    let mut labels = Vec::with_capacity(size[0] * size[1]);
    for row in 0..size[0] {
        resample.row(logits, classes, row, &mut between, &mut line);
        labels.extend(line.chunks_exact(classes).map(best));
    }
    labels
}

fn best(scores: &[f32]) -> u16 {
    let start = (0, f32::NEG_INFINITY);
    let best = scores
        .iter()
        .enumerate()
        .fold(start, |best, (class, &score)| if score > best.1 { (class, score) } else { best });
    best.0 as u16
}

/// Scores a head on all images of a task.
///
/// # Errors
/// Those of reading the labels, and [`Error::Gpu`](crate::Error::Gpu).
pub fn score_segments(
    head: &LinearHead,
    rows: &dyn FeatureRows,
    task: &SegmentTask<'_>,
    report: &mut dyn FnMut(usize),
) -> Result<SegmentationScores> {
    let mut confusion = Confusion::new(task.outputs());
    let all: Vec<usize> = (0..rows.len()).collect();
    for batch in all.chunks(BATCH) {
        let outputs = head.outputs_of(rows.gather(batch))?;
        let each = outputs.len() / batch.len();
        let part = |(&index, logits): (&usize, &[f32])| {
            let truth = task.set.truth(task.places[index])?;
            let mut part = Confusion::new(task.outputs());
            part.add(&truth.labels, &predict_labels(logits, task.grid, truth.size));
            Ok(part)
        };
        let parts: Vec<Result<Confusion>> =
            batch.par_iter().zip(outputs.par_chunks_exact(each)).map(part).collect();
        for part in parts {
            confusion.merge(&part?);
        }
        report(batch.last().map_or(0, |last| last + 1));
    }
    Ok(confusion.scores())
}
