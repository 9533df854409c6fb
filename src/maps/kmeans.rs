use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::PatchFeatures;
use crate::error::{Error, Result};

/// How patches are grouped into segments.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SegmentSettings {
    /// Number of segments K, at least 1.
    pub count: usize,
    /// Of the first centres.
    pub seed: u64,
    /// Whether features are scaled to unit length first, so that their direction counts and an
    /// artifact's norm does not.
    pub unit_length: bool,
    /// Most iterations.
    pub iterations: usize,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self { count: 6, seed: 0, unit_length: true, iterations: 100 }
    }
}

impl SegmentSettings {
    /// With some of them changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Segments of patches: k-means over all images of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Segments {
    /// The segment of each patch, by image.
    pub labels: Vec<Vec<usize>>,
    /// The mean of each segment's features: `[K, D]`.
    pub centres: Vec<Vec<f64>>,
    /// Sum of squared distances to the own centre.
    pub inertia: f64,
}

impl Segments {
    /// Starts from centres chosen by k-means++ (<https://dl.acm.org/doi/10.5555/1283383.1283494>);
    /// the largest segment is the first. Memory holds one image's features.
    ///
    /// # Errors
    /// [`Error::Setting`] for no segments, or more than patches; those of reading.
    pub fn fit(features: &dyn PatchFeatures, settings: &SegmentSettings) -> Result<Self> {
        let patches = features.patches();
        if settings.count == 0 || settings.count > patches {
            let expected = format!("there are {patches} patches: 1 to {patches} segments");
            return Err(Error::setting("segments", settings.count, expected));
        }
        let rows = Rows { features, unit_length: settings.unit_length };
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut centres = vec![rows.patch(rng.random_range(0..patches))?];
        let mut nearest = vec![f64::INFINITY; patches];
        while centres.len() < settings.count {
            let newest = &centres[centres.len() - 1];
            rows.each(|patch, row| nearest[patch] = nearest[patch].min(distance(row, newest)))?;
            let total: f64 = nearest.iter().sum();
            let mut left = rng.random_range(0.0..1.0) * total;
            let chosen = nearest.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            // All patches equal a centre already: any will do.
            centres.push(rows.patch(chosen.unwrap_or(0))?);
        }
        Ok(Self::lloyd(&rows, centres, settings.iterations)?.by_size())
    }

    /// Starts from given centres `[K, D]`, and keeps their order.
    ///
    /// # Errors
    /// [`Error::Shape`] for centres of another width or none; those of reading.
    pub fn from_centres(
        features: &dyn PatchFeatures,
        centres: Vec<Vec<f64>>,
        settings: &SegmentSettings,
    ) -> Result<Self> {
        if centres.is_empty() || centres.iter().any(|centre| centre.len() != features.dim()) {
            let reason = format!("they are not vectors of width {}", features.dim());
            return Err(Error::shape("centres", reason));
        }
        let rows = Rows { features, unit_length: settings.unit_length };
        Self::lloyd(&rows, centres, settings.iterations)
    }

    fn lloyd(rows: &Rows<'_>, mut centres: Vec<Vec<f64>>, iterations: usize) -> Result<Self> {
        let (patches, dim) = (rows.features.patches(), rows.features.dim());
        let mut labels = vec![usize::MAX; patches];
        let mut distances = vec![0.0; patches];
        for _ in 0..iterations.max(1) {
            let mut changed = false;
            let mut sums = vec![vec![0.0; dim]; centres.len()];
            let mut counts = vec![0usize; centres.len()];
            rows.each(|patch, row| {
                let (label, least) = closest(row, &centres);
                changed |= labels[patch] != label;
                (labels[patch], distances[patch]) = (label, least);
                counts[label] += 1;
                sums[label].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            })?;
            if !changed {
                break;
            }
            for (label, (sum, count)) in sums.into_iter().zip(counts).enumerate() {
                centres[label] = match count {
                    // An empty segment starts anew at the patch that is farthest from its centre.
                    0 => rows.patch(take_farthest(&mut distances))?,
                    _ => sum.into_iter().map(|value| value / count as f64).collect(),
                };
            }
        }
        let mut inertia = 0.0;
        rows.each(|patch, row| {
            let (label, least) = closest(row, &centres);
            labels[patch] = label;
            inertia += least;
        })?;
        let mut rest = &labels[..];
        let labels = rows.features.grids().iter().map(|[height, width]| {
            let (own, after) = rest.split_at(height * width);
            rest = after;
            own.to_vec()
        });
        let labels = labels.collect();
        Ok(Self { labels, centres, inertia })
    }

    fn by_size(mut self) -> Self {
        let mut counts = vec![0usize; self.centres.len()];
        self.labels.iter().flatten().for_each(|&label| counts[label] += 1);
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&label| std::cmp::Reverse(counts[label]));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        self.labels.iter_mut().flatten().for_each(|label| *label = place[*label]);
        self.centres = order.iter().map(|&old| std::mem::take(&mut self.centres[old])).collect();
        self
    }
}

/// Features in f64, scaled where asked for.
struct Rows<'a> {
    features: &'a dyn PatchFeatures,
    unit_length: bool,
}

impl Rows<'_> {
    /// Calls `work` with every patch's number over all images, and its features.
    fn each(&self, mut work: impl FnMut(usize, &[f64])) -> Result<()> {
        let dim = self.features.dim();
        let (mut patch, mut row) = (0, vec![0.0; dim]);
        for image in 0..self.features.grids().len() {
            for values in self.features.read(image)?.chunks_exact(dim) {
                self.prepare(values, &mut row);
                work(patch, &row);
                patch += 1;
            }
        }
        Ok(())
    }

    fn patch(&self, mut patch: usize) -> Result<Vec<f64>> {
        let dim = self.features.dim();
        let mut row = vec![0.0; dim];
        for (image, [rows, columns]) in self.features.grids().iter().enumerate() {
            match patch.checked_sub(rows * columns) {
                Some(rest) => patch = rest,
                None => {
                    let values = self.features.read(image)?;
                    self.prepare(&values[patch * dim..][..dim], &mut row);
                    break;
                }
            }
        }
        Ok(row)
    }

    fn prepare(&self, values: &[f32], row: &mut [f64]) {
        let square = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let scale = if self.unit_length { square(values).sqrt().max(1e-12).recip() } else { 1.0 };
        row.iter_mut().zip(values).for_each(|(out, value)| *out = f64::from(*value) * scale);
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The first of the closest centres, and the squared distance to it.
fn closest(row: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (label, centre) in centres.iter().enumerate() {
        let far = distance(row, centre);
        if far < best.1 {
            best = (label, far);
        }
    }
    best
}

/// The patch of the largest distance, which is not taken again.
fn take_farthest(distances: &mut [f64]) -> usize {
    let far = distances.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    let patch = far.map_or(0, |(patch, _)| patch);
    if let Some(distance) = distances.get_mut(patch) {
        *distance = 0.0;
    }
    patch
}
