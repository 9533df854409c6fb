//! The artifact subspace and the adapter that removes it, from second moments, in f64 on the
//! host.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};

use super::ClosedSettings;

/// Sums over vectors of width D.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    /// Vectors counted.
    pub(super) count: f64,
    /// Their sum, `[D]`.
    pub(super) sum: Vec<f64>,
    /// `Σ x xᵀ`, `[D, D]`.
    pub(super) products: Mat<f64>,
}

impl Moments {
    pub(super) fn new(dim: usize) -> Self {
        Self { count: 0.0, sum: vec![0.0; dim], products: Mat::zeros(dim, dim) }
    }

    /// `Σ x xᵀ / n`.
    fn second(&self) -> Mat<f64> {
        &self.products * faer::Scale(1.0 / self.count.max(1.0))
    }

    pub(super) fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.count.max(1.0)).collect()
    }
}

/// Directions in which outliers exceed what their neighbours foretell.
#[derive(Debug, Clone)]
pub(super) struct Subspace {
    /// U, orthonormal columns, `[D, k]`.
    pub(super) directions: Mat<f64>,
    /// The second moment of outliers along each, in units of the inliers'.
    pub(super) eigenvalues: Vec<f64>,
}

/// The leading eigenvectors of the outliers' residuals, whitened by those of the inliers;
/// none where no eigenvalue stands out.
///
/// Moments about zero mistake the content that outliers share for a part of the artifact; those
/// about the outliers' mean miss an artifact that is everywhere equally strong. So the second are
/// taken where they tell the subspace well, and much the same one. `Err` where the moments are
/// not finite.
pub(super) fn subspace(
    inliers: &Moments,
    outliers: &Moments,
    settings: &ClosedSettings,
) -> Result<Option<Subspace>, ()> {
    let dim = inliers.sum.len();
    let (values, vectors) = eigen(&regular(inliers.second(), settings.ridge))?;
    let scaled = |power: fn(f64) -> f64| {
        let scaled = Mat::from_fn(dim, dim, |i, j| vectors[(i, j)] * power(values[j]));
        scaled * vectors.transpose()
    };
    let (whiten, colour) = (scaled(|value| value.sqrt().recip()), scaled(f64::sqrt));

    let second = &whiten * outliers.second() * &whiten;
    let (found, leading) = eigen(&second)?;
    let found: Vec<f64> = found.into_iter().rev().collect();
    let stands_out =
        |value: f64| value > settings.min_eigenvalue && value > settings.min_share * found[0];
    let rank = found.iter().take(settings.max_rank).filter(|&&value| stands_out(value)).count();
    if rank == 0 {
        return Ok(None);
    }
    let directions = |vectors: &Mat<f64>| {
        let leading = Mat::from_fn(dim, rank, |i, j| vectors[(i, dim - 1 - j)]);
        (&colour * leading).qr().compute_thin_Q()
    };
    let with_mean = directions(&leading);
    let mean = outliers.mean();
    let mean = &whiten * Mat::from_fn(dim, 1, |i, _| mean[i]);
    let (values, centred) = eigen(&(second - &mean * mean.transpose()))?;
    let without = directions(&centred);
    let cosines = (with_mean.transpose() * &without).singular_values().map_err(|_| ())?;
    let agree = cosines.last().is_some_and(|&least| least > settings.agreement);
    let sure =
        sampling_error(&values, &(colour * centred), &without, outliers.count) < settings.turn;
    let directions = if agree && sure { without } else { with_mean };
    Ok(Some(Subspace { directions, eigenvalues: found[..rank].to_vec() }))
}

/// The squared sine of the angle by which a sample of `count` turns the weakest direction out of
/// the subspace, expected to first order in the perturbation: eigenvectors k and j of a sample's
/// covariance mix by `λ_k λ_j / (n (λ_k − λ_j)²)` (Anderson 1963). `values` ascend; the columns of
/// `coloured` are their vectors among the tokens.
fn sampling_error(values: &[f64], coloured: &Mat<f64>, subspace: &Mat<f64>, count: f64) -> f64 {
    let rest = values.len() - subspace.ncols();
    let across = coloured - subspace * (subspace.transpose() * coloured);
    let weakest = values[rest];
    let length = coloured.col(rest).squared_norm_l2();
    let mixed = |j: usize| {
        let other = values[j].max(0.0);
        let turn = weakest * other / (count * (weakest - other).powi(2));
        turn * across.col(j).squared_norm_l2() / length
    };
    (0..rest).map(mixed).sum()
}

/// Φ_down `[D, k]`: predicts what a clean token would have along U from its other
/// components, by generalised least squares with the covariance of clean patches, so that
/// `(I + Φ_down Uᵀ)` leaves nothing of U.
pub(super) fn down(directions: &Mat<f64>, clean: &Moments, ridge: f64) -> Result<Mat<f64>, ()> {
    let covariance = regular(clean.second(), ridge);
    let weighted = covariance.llt(Side::Lower).map_err(|_| ())?.solve(directions);
    let inner = (directions.transpose() * &weighted).partial_piv_lu().inverse();
    Ok(weighted * inner * faer::Scale(-1.0))
}

/// Adds to the diagonal a share of its mean.
fn regular(mut matrix: Mat<f64>, ridge: f64) -> Mat<f64> {
    let dim = matrix.nrows();
    let mean = (0..dim).map(|i| matrix[(i, i)]).sum::<f64>() / dim as f64;
    for i in 0..dim {
        matrix[(i, i)] += ridge * mean;
    }
    matrix
}

/// Eigenvalues, ascending, and eigenvectors of a symmetric matrix.
fn eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), ()> {
    if !matrix.as_ref().is_all_finite() {
        return Err(());
    }
    let found = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| ())?;
    let values = found.S().column_vector().iter().copied().collect();
    Ok((values, found.U().to_owned()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    const DIM: usize = 12;

    /// Moments of `count` standard normal vectors to which `add` adds.
    fn moments(count: usize, seed: u64, add: impl Fn(&mut ChaCha8Rng, &mut [f64])) -> Moments {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut moments = Moments::new(DIM);
        for _ in 0..count {
            let mut x: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(DIM).collect();
            add(&mut rng, &mut x);
            moments.count += 1.0;
            moments.sum.iter_mut().zip(&x).for_each(|(sum, x)| *sum += x);
            moments.products += Mat::from_fn(DIM, DIM, |i, j| x[i] * x[j]);
        }
        moments
    }

    /// Artifacts along the first axis, of 30 ± `spread`, on patches that share 3 along the second.
    /// The sine of the angle between the first axis and what is found.
    fn tilt(spread: f64) -> f64 {
        let inliers = moments(4000, 1, |_, _| {});
        let outliers = moments(300, 2, |rng, x| {
            let varied: f64 = StandardNormal.sample(rng);
            x[0] += 30.0 + spread * varied;
            x[1] += 3.0;
        });
        let found = subspace(&inliers, &outliers, &ClosedSettings::default()).unwrap().unwrap();
        assert_eq!(found.directions.ncols(), 1);
        (1.0 - found.directions[(0, 0)].powi(2)).sqrt()
    }

    #[test]
    fn content_that_outliers_share_does_not_tilt_an_artifact_whose_strength_varies() {
        assert!(tilt(10.0) < 0.03, "{}", tilt(10.0));
    }

    #[test]
    fn an_artifact_that_is_everywhere_equally_strong_is_found_with_what_outliers_share() {
        assert!((tilt(0.0) - 0.1).abs() < 0.02, "{}", tilt(0.0));
    }
}
