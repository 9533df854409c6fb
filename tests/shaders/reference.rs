//! The shaders' formulae in plain loops and f64.

use crate::support::Batch;

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

pub(crate) fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (norm(a) * norm(b)).max(1e-24)
}

pub(crate) fn norms(batch: &Batch) -> Vec<f64> {
    each_patch(batch, |image, patch| norm(batch.patch(image, patch)))
}

pub(crate) fn each_patch(batch: &Batch, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let patches = batch.patches();
    (0..batch.images * patches).map(|index| value(index / patches, index % patches)).collect()
}

/// Refined values of one token `[D]`, with `down` `[D, r]` and `up` `[r, D]`.
pub(crate) fn refine(token: &[f32], down: &[f32], up: &[f32], rank: usize) -> Vec<f64> {
    let dim = token.len();
    let hidden: Vec<f64> = (0..rank)
        .map(|j| (0..dim).map(|d| f64::from(token[d]) * f64::from(down[d * rank + j])).sum())
        .collect();
    (0..dim)
        .map(|d| {
            let shift: f64 = (0..rank).map(|j| hidden[j] * f64::from(up[j * dim + d])).sum();
            f64::from(token[d]) + shift
        })
        .collect()
}

/// What a token `[D]` scores along a line of `up`, from the centre.
pub(crate) fn score(token: &[f32], centre: &[f32], line: &[f32]) -> f64 {
    let terms = token.iter().zip(centre).zip(line);
    terms.map(|((&x, &c), &u)| (f64::from(x) - f64::from(c)) * f64::from(u)).sum()
}

/// The closed form's values of one token `[D]` that passes its gate.
pub(crate) fn refine_from(
    token: &[f32],
    centre: &[f32],
    down: &[f32],
    up: &[f32],
    rank: usize,
) -> Vec<f64> {
    let dim = token.len();
    let from_centre = |d: usize| f64::from(token[d]) - f64::from(centre[d]);
    let hidden: Vec<f64> = (0..rank)
        .map(|j| (0..dim).map(|d| from_centre(d) * f64::from(down[d * rank + j])).sum())
        .collect();
    (0..dim)
        .map(|d| {
            let shift: f64 = (0..rank).map(|j| hidden[j] * f64::from(up[j * dim + d])).sum();
            f64::from(token[d]) + shift
        })
        .collect()
}

/// Sorts, then interpolates between the two ranks.
pub(crate) fn quantile(values: &[f32], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let position = q * (sorted.len() - 1) as f64;
    let lower = f64::from(sorted[position.floor() as usize]);
    let upper = f64::from(sorted[position.ceil() as usize]);
    lower + (upper - lower) * position.fract()
}

/// `[B, P, P]`.
pub(crate) fn gram(batch: &Batch) -> Vec<f64> {
    let patches = batch.patches();
    let mut values = Vec::with_capacity(batch.images * patches * patches);
    for image in 0..batch.images {
        for i in 0..patches {
            values
                .extend((0..patches).map(|j| cosine(batch.patch(image, i), batch.patch(image, j))));
        }
    }
    values
}
