/// Adds up the cross-entropy of rows of logits, `[N, C]`, and turns each row into
/// the gradient of its own term: softmax minus one-hot. A row without target
/// gets a zero gradient and does not count. Gives the sum and the count.
///
/// # Panics
/// Where a target is not a class.
pub fn cross_entropy(
    logits: &mut [f32],
    classes: usize,
    targets: impl IntoIterator<Item = Option<usize>>,
) -> (f64, usize) {
    let (mut sum, mut count) = (0.0, 0);
    for (row, target) in logits.chunks_exact_mut(classes).zip(targets) {
        let Some(target) = target else {
            row.fill(0.0);
            continue;
        };
        let own = row[target];
        let (largest, total) = exponentials(row, 1.0);
        for value in row.iter_mut() {
            *value /= total;
        }
        row[target] -= 1.0;
        sum += f64::from(largest) + f64::from(total).ln() - f64::from(own);
        count += 1;
    }
    (sum, count)
}

/// Replaces a row by `exp(scale (x - max))`; gives the maximum and the sum.
pub(super) fn exponentials(row: &mut [f32], scale: f32) -> (f32, f32) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in row.iter_mut() {
        *value = ((*value - largest) * scale).exp();
    }
    (largest, row.iter().sum())
}
