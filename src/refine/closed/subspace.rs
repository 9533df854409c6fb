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
/// Where the outliers' mean adds nothing to the subspace it is left out, as the content that
/// outliers share would be taken for an artifact with it. `Err` where the moments are not
/// finite.
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
    let (_, centred) = eigen(&(second - &mean * mean.transpose()))?;
    let without = directions(&centred);
    let cosines = (with_mean.transpose() * &without).singular_values().map_err(|_| ())?;
    let agree = cosines.last().is_some_and(|&least| least > settings.agreement);
    let directions = if agree { without } else { with_mean };
    Ok(Some(Subspace { directions, eigenvalues: found[..rank].to_vec() }))
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
