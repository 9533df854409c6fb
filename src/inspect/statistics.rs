use crate::statistics::{median, quantile, sorted};

/// Smallest, median and largest value.
pub(super) fn summary(values: &[f32]) -> [f32; 3] {
    let sorted = sorted(values);
    [0.0, 0.5, 1.0].map(|q| quantile(&sorted, q))
}

/// A norm above this is an outlier: three times its image's median.
pub(super) fn outlier_bound(norms: &[f32]) -> f32 {
    3.0 * median(norms)
}

/// Index of the largest value; the first of equal ones.
pub(super) fn largest(values: &[f32]) -> usize {
    let best = values.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index)
}

/// Edges of `bins` bins of equal width that hold all finite values.
pub(super) fn edges<'a>(values: impl Iterator<Item = &'a f32>, bins: usize) -> Vec<f32> {
    let finite = values.copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
    // Equal values still get bins that are wider than nothing.
    let high = if high > low { high } else { low + low.abs().max(1.0) };
    (0..=bins).map(|edge| low + (high - low) * (edge as f32 / bins as f32)).collect()
}

/// How many finite values lie in each bin.
pub(super) fn counts<'a>(values: impl Iterator<Item = &'a f32>, edges: &[f32]) -> Vec<usize> {
    let mut counts = vec![0; edges.len() - 1];
    for value in values.filter(|value| value.is_finite()) {
        let bin = edges.partition_point(|edge| edge <= value);
        counts[bin.saturating_sub(1).min(edges.len() - 2)] += 1;
    }
    counts
}
