use burn::tensor::{Device, Tensor, TensorData};

use super::FeatureRows;
use crate::error::Result;
use crate::readback::read;

/// Neighbours that vote.
const NEIGHBOURS: usize = 20;
/// Temperature of their weights.
const TEMPERATURE: f32 = 0.07;
/// Rows of similarities held at a time.
const ROWS: usize = 512;

/// Features of unit length with their labels.
#[derive(Debug, Clone, Default)]
pub struct LabelledFeatures {
    /// Row-major `[N, D]`.
    pub rows: Vec<f32>,
    /// D.
    pub dim: usize,
    /// Class of each row.
    pub labels: Vec<usize>,
}

impl LabelledFeatures {
    /// One row for each image, scaled to unit length.
    pub fn from_rows(rows: &dyn FeatureRows, labels: &[usize]) -> Self {
        let dim = rows.dim();
        let mut values = Vec::with_capacity(rows.len() * dim);
        (0..rows.len()).for_each(|index| rows.append(index, &mut values));
        for row in values.chunks_exact_mut(dim) {
            let norm = row.iter().map(|value| value * value).sum::<f32>().max(1e-24).sqrt();
            row.iter_mut().for_each(|value| *value /= norm);
        }
        Self { rows: values, dim, labels: labels.to_vec() }
    }
}

/// Top-1 accuracy of the nearest neighbours, 0 to 1: the 20 `train` rows most similar to
/// each `test` row vote with weight `exp(cosine / 0.07)` (the kNN protocol of DINO).
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu).
pub fn knn_accuracy(
    train: &LabelledFeatures,
    test: &LabelledFeatures,
    device: &Device,
) -> Result<f64> {
    let classes = train.labels.iter().max().map_or(0, |&label| label + 1);
    let matrix = |rows: &[f32], dim: usize| -> Tensor<2> {
        Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len() / dim, dim]), device)
    };
    let bank = matrix(&train.rows, train.dim).transpose();
    let mut right = 0;
    for (rows, labels) in test.rows.chunks(ROWS * test.dim).zip(test.labels.chunks(ROWS)) {
        let similarities = matrix(rows, test.dim).matmul(bank.clone());
        let similarities = read(similarities)?;
        for (row, &label) in similarities.chunks(train.labels.len()).zip(labels) {
            right += usize::from(vote(row, &train.labels, classes) == label);
        }
    }
    Ok(right as f64 / test.labels.len().max(1) as f64)
}

fn vote(similarities: &[f32], labels: &[usize], classes: usize) -> usize {
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    let count = NEIGHBOURS.min(order.len());
    if count < order.len() {
        order.select_nth_unstable_by(count, |&a, &b| similarities[b].total_cmp(&similarities[a]));
    }
    let mut votes = vec![0.0; classes];
    for &near in &order[..count] {
        votes[labels[near]] += (similarities[near] / TEMPERATURE).exp();
    }
    let best = votes.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(class, _)| class)
}
