use std::collections::BTreeMap;

use super::feature_source::FeatureSource;
use super::statistics::{counts, edges, outlier_bound};
use super::{DepthRow, DepthSeries, Histogram, PositionShare};
use crate::statistics::{quantile, sorted};

/// Bins of a histogram.
const BINS: usize = 64;

/// Patch norms of every image, by subject and that subject's own block.
#[derive(Debug)]
pub(super) struct NormTable {
    quantile: f64,
    entries: BTreeMap<(FeatureSource, usize), Vec<ImageNorms>>,
}

#[derive(Debug)]
struct ImageNorms {
    grid: [usize; 2],
    values: Vec<f32>,
}

impl NormTable {
    pub(super) fn new(quantile: f64) -> Self {
        Self { quantile, entries: BTreeMap::new() }
    }

    /// Adds the norms of some images of one grid.
    pub(super) fn add(
        &mut self,
        subject: FeatureSource,
        block: usize,
        grid: [usize; 2],
        images: &[Vec<f32>],
    ) {
        let images = images.iter().map(|values| ImageNorms { grid, values: values.clone() });
        self.entries.entry((subject, block)).or_default().extend(images);
    }

    /// Norms by block, a series for each subject.
    pub(super) fn depth(&self) -> Vec<DepthSeries> {
        let mut series: Vec<DepthSeries> = Vec::new();
        for (&(subject, layer), images) in &self.entries {
            let all = sorted(&all(images));
            let quantiles = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, self.quantile, 1.0];
            let outliers: usize = images
                .iter()
                .map(|image| {
                    let bound = outlier_bound(&image.values);
                    image.values.iter().filter(|&&norm| norm > bound).count()
                })
                .sum();
            let row = DepthRow {
                layer,
                quantiles: quantiles.map(|q| quantile(&all, q)),
                outlier_share: outliers as f32 / all.len().max(1) as f32,
            };
            match series.last_mut().filter(|series| series.subject == subject.name()) {
                Some(series) => series.rows.push(row),
                None => series.push(DepthSeries { subject: subject.name(), rows: vec![row] }),
            }
        }
        series
    }

    /// Distributions at a teacher layer: the teacher and its refinements share
    /// their bins, the student has its own.
    pub(super) fn histograms(&self, layer: usize, student: Option<usize>) -> Vec<Histogram> {
        let teacher = self.at(layer, student).filter(|(key, _)| key.0 != FeatureSource::Student);
        let shared: Vec<f32> = teacher.flat_map(|(_, images)| all(images)).collect();
        let shared = edges(shared.iter(), BINS);
        let histogram =
            |(&(subject, block), images): (&(FeatureSource, usize), &Vec<ImageNorms>)| {
                let values = all(images);
                let own = (subject == FeatureSource::Student).then(|| edges(values.iter(), BINS));
                let edges = own.unwrap_or_else(|| shared.clone());
                let thresholds =
                    images.iter().map(|image| quantile(&sorted(&image.values), self.quantile));
                Histogram {
                    subject: subject.name(),
                    layer: block,
                    teacher_layer: layer,
                    counts: counts(values.iter(), &edges),
                    edges,
                    threshold: thresholds.sum::<f32>() / images.len().max(1) as f32,
                }
            };
        self.at(layer, student).map(histogram).collect()
    }

    /// How often each position is an outlier at a teacher layer, on the grid
    /// that most images have.
    pub(super) fn positions(&self, layer: usize, student: Option<usize>) -> Vec<PositionShare> {
        let share = |(&(subject, _), images): (&(FeatureSource, usize), &Vec<ImageNorms>)| {
            let grid = commonest(images);
            let mut share = vec![0.0; grid[0] * grid[1]];
            for image in images {
                add_covered(image, grid, &mut share);
            }
            let count = images.len().max(1) as f64;
            let share = share.into_iter().map(|sum| (sum / count) as f32).collect();
            PositionShare { subject: subject.name(), layer, grid, share }
        };
        self.at(layer, student).map(share).collect()
    }

    /// Every subject at a teacher layer, in display order.
    fn at(
        &self,
        layer: usize,
        student: Option<usize>,
    ) -> impl Iterator<Item = (&(FeatureSource, usize), &Vec<ImageNorms>)> {
        self.entries.iter().filter(move |((subject, block), _)| match subject {
            FeatureSource::Student => student == Some(*block),
            _ => *block == layer,
        })
    }
}

fn all(images: &[ImageNorms]) -> Vec<f32> {
    images.iter().flat_map(|image| &image.values).copied().collect()
}

/// The grid of most images; the first met of equally many.
fn commonest(images: &[ImageNorms]) -> [usize; 2] {
    let count = |grid: [usize; 2]| images.iter().filter(|image| image.grid == grid).count();
    let best = images.iter().rev().map(|image| image.grid).max_by_key(|&grid| count(grid));
    best.unwrap_or([1, 1])
}

/// Adds to each cell of `grid` the share of it that outliers cover, where both
/// grids are stretched over the whole image.
fn add_covered(image: &ImageNorms, [rows, cols]: [usize; 2], sums: &mut [f64]) {
    let bound = outlier_bound(&image.values);
    let [height, width] = image.grid;
    let outliers = image.values.iter().enumerate().filter(|(_, norm)| **norm > bound);
    for (patch, _) in outliers {
        let down: Vec<_> = covered(patch / width, height, rows).collect();
        for (col, across) in covered(patch % width, width, cols) {
            for &(row, along) in &down {
                sums[row * cols + col] += along * across;
            }
        }
    }
}

/// Which of `to` equal parts of a side the `index`-th of `from` parts covers,
/// and the share of each. Whole numbers until the end, so that equal grids give
/// exactly one.
fn covered(index: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, f64)> {
    let (start, end) = (index * to, (index + 1) * to);
    (start / from..end.div_ceil(from)).map(move |part| {
        let overlap = end.min((part + 1) * from) - start.max(part * from);
        (part, overlap as f64 / from as f64)
    })
}
