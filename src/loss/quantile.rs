use burn::tensor::Tensor;

/// Comparisons held at a time; bounds the memory of long rows.
const COMPARISONS: usize = 1 << 24;

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
