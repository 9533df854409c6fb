use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and sample standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation, with n − 1; `None` for a single value.
    pub deviation: Option<f64>,
}

impl Summary {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }

    /// Of the values known so far.
    pub(crate) fn of_known(values: &[Option<f64>]) -> Option<Self> {
        Self::of(&values.iter().copied().flatten().collect::<Vec<_>>())
    }
}

/// A two-sided paired t-test of two series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedTest {
    /// Mean of the first minus the second.
    pub difference: f64,
    /// The p-value; `None` where all differences are the same or there is one pair.
    pub p: Option<f64>,
    /// The p-value corrected for the number of comparisons of a study, see [`holm`].
    pub corrected: Option<f64>,
}

/// Compares values pair by pair, by Student's paired t-test; `None` without pairs.
pub fn paired_test(pairs: &[(f64, f64)]) -> Option<PairedTest> {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
    let Summary { mean, deviation } = Summary::of(&differences)?;
    let count = differences.len() as f64;
    let p = deviation.filter(|deviation| *deviation > 0.0).and_then(|deviation| {
        let t = mean / (deviation / count.sqrt());
        let distribution = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
        Some(2.0 * distribution.cdf(-t.abs()))
    });
    Some(PairedTest { difference: mean, p, corrected: None })
}

/// The p-values of several tests, corrected so that the probability of one false finding among
/// all of them stays below the level (Holm 1979): the smallest times their number, the next
/// times one less, and so on, none smaller than the one before and none above 1.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By scipy 1.17: `ttest_rel([71.2, 70.1, 72.9, 71.0], [70.0, 70.3, 70.9, 69.8])`.
    #[test]
    fn the_paired_test_equals_scipys() {
        let pairs = [(71.2, 70.0), (70.1, 70.3), (72.9, 70.9), (71.0, 69.8)];
        let PairedTest { difference, p, .. } = paired_test(&pairs).unwrap();
        assert!((difference - 1.05).abs() < 1e-12);
        assert!((p.unwrap() - 0.105_389_024_636_879_13).abs() < 1e-9, "{p:?}");
    }

    /// By statsmodels 0.15: `multipletests(p, method="holm")[1]`.
    #[test]
    fn corrected_p_values_equal_statsmodels() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005, 0.2, 0.9, 0.03]);
        let wanted = [0.06, 0.15, 0.15, 0.035, 0.4, 0.9, 0.15];
        for (found, wanted) in corrected.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.7, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn without_spread_there_is_no_test() {
        assert_eq!(paired_test(&[]), None);
        assert_eq!(
            paired_test(&[(2.0, 1.0)]),
            Some(PairedTest { difference: 1.0, p: None, corrected: None })
        );
        assert_eq!(paired_test(&[(2.0, 1.0), (3.0, 2.0)]).unwrap().p, None);
    }

    #[test]
    fn the_deviation_is_the_samples() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(summary.mean, 2.5);
        assert!((summary.deviation.unwrap() - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Summary::of(&[7.0]).unwrap().deviation, None);
        assert_eq!(Summary::of(&[]), None);
    }
}
