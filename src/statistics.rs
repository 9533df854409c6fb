//! Order statistics of values on the host.

/// The values in ascending order; NaN comes last.
pub fn sorted(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted
}

/// The `q`-quantile of values in ascending order, with linear interpolation
/// between ranks as in NumPy's default; zero for no values. `q` is clamped to
/// 0..=1.
pub fn quantile(sorted: &[f32], q: f64) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let (lower, upper) = (sorted[rank as usize], sorted[(rank as usize + 1).min(last)]);
    // Not computed from infinities, whose difference is no number.
    if rank.fract() == 0.0 { lower } else { lower + (upper - lower) * rank.fract() as f32 }
}

/// The median of values in any order, the mean of the middle two for an even number;
/// zero for no values.
pub fn median(values: &[f32]) -> f32 {
    quantile(&sorted(values), 0.5)
}

/// The median, but the smaller of the middle two for an even number, as PyTorch's; zero for
/// no values.
pub fn lower_median(values: &[f32]) -> f32 {
    let middle = values.len().saturating_sub(1) / 2;
    sorted(values).get(middle).copied().unwrap_or_default()
}

/// The median, but the larger of the middle two for an even number, so that it is always
/// one of the values; `None` for no values.
pub fn upper_median(values: &[f32]) -> Option<f32> {
    sorted(values).get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_equal_numpys() {
        // numpy.quantile([1, 2, 4, 8], [0, 0.25, 0.5, 0.9, 1])
        let values = [1.0, 2.0, 4.0, 8.0];
        let found = [0.0, 0.25, 0.5, 0.9, 1.0].map(|q| quantile(&values, q));
        for (found, expected) in found.into_iter().zip([1.0, 1.75, 3.0, 6.8, 8.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn the_two_medians_differ_for_an_even_number_of_values_only() {
        assert_eq!((median(&[9.0, 1.0, 4.0]), upper_median(&[9.0, 1.0, 4.0])), (4.0, Some(4.0)));
        assert_eq!((median(&[4.0, 1.0]), upper_median(&[4.0, 1.0])), (2.5, Some(4.0)));
        assert_eq!((median(&[]), upper_median(&[])), (0.0, None));
    }

    #[test]
    fn the_lower_median_is_pytorchs() {
        // torch.tensor([4., 1., 9., 2.]).median()
        assert_eq!(lower_median(&[4.0, 1.0, 9.0, 2.0]), 2.0);
        assert_eq!((lower_median(&[4.0, 1.0, 9.0]), lower_median(&[])), (4.0, 0.0));
    }

    #[test]
    fn infinite_values_do_not_make_quantiles_nan() {
        assert_eq!(quantile(&[1.0, f32::INFINITY], 1.0), f32::INFINITY);
        assert_eq!(quantile(&[1.0, 2.0, f32::INFINITY], 0.5), 2.0);
    }
}
