use faer::{Mat, MatRef, Par};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the basis of an adapter is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasisKind {
    /// The left singular vectors of the r smallest singular values (paper).
    #[default]
    Smallest,
    /// The first r of those with a singular value below a threshold, in
    /// descending order, so the largest of the small ones; padded with random
    /// unit vectors where there are fewer (reference implementation).
    Threshold,
    /// Random unit vectors, for the ablation.
    Random,
}

/// What to select.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// The rule.
    pub kind: BasisKind,
    /// Number of vectors r.
    pub rank: usize,
    /// Threshold τ of [`BasisKind::Threshold`].
    pub threshold: f64,
    /// Seed of the random vectors.
    pub seed: u64,
}

/// A basis of a block's (near) left nullspace.
#[derive(Debug, Clone)]
pub struct Basis {
    /// N, `[D, r]`, unit columns.
    pub vectors: Mat<f64>,
    /// All singular values of the linearised block, descending.
    pub spectrum: Vec<f64>,
    /// `‖N^T W̃‖₂`: the most that a unit vector of the basis moves the
    /// linearised block's output. For [`BasisKind::Smallest`] it is the r-th
    /// smallest singular value.
    pub residual: f64,
    /// Columns that are random because the rule found too few.
    pub random_columns: usize,
}

impl Basis {
    /// Selects a basis for a linearised block `W̃`, `[D, D]`.
    ///
    /// # Errors
    /// [`Error::Config`] for a rank of 0 or above D, [`Error::Svd`] (with
    /// `block`) where the weights are not finite.
    pub fn select(
        linearised: MatRef<'_, f64>,
        selection: &Selection,
        block: usize,
    ) -> Result<Self> {
        let dim = linearised.nrows();
        let Selection { kind, rank, threshold, seed } = *selection;
        if rank == 0 || rank > dim {
            return Err(Error::setting(
                "rank",
                rank,
                format!("it must lie between 1 and the teacher's width {dim}"),
            ));
        }
        let (left, spectrum) = left_singular(linearised).ok_or(Error::Svd(block))?;
        let columns = match kind {
            BasisKind::Smallest => dim - rank..dim,
            BasisKind::Threshold => {
                let first = spectrum.partition_point(|&value| value >= threshold);
                first..(first + rank).min(dim)
            }
            BasisKind::Random => 0..0,
        };
        let found = columns.len();
        let mut vectors = Mat::zeros(dim, rank);
        for (to, from) in columns.enumerate() {
            vectors.col_mut(to).copy_from(left.col(from));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ block as u64);
        for column in found..rank {
            random_unit(vectors.col_mut(column).iter_mut(), &mut rng);
        }
        let image = vectors.transpose() * linearised;
        let residual = image.singular_values().map_err(|_| Error::Svd(block))?;
        Ok(Self {
            vectors,
            spectrum,
            residual: residual.first().copied().unwrap_or(0.0),
            random_columns: rank - found,
        })
    }

    /// N in row-major order, f32, `[D, r]`.
    pub fn to_row_major(&self) -> Vec<f32> {
        let (rows, cols) = (self.vectors.nrows(), self.vectors.ncols());
        let entries = (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j)));
        entries.map(|(i, j)| self.vectors[(i, j)] as f32).collect()
    }
}

/// Left singular vectors and singular values, descending; the right ones are
/// not wanted and not computed.
fn left_singular(matrix: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>)> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};

    if !matrix.is_all_finite() {
        return None;
    }
    let dim = matrix.nrows();
    #[cfg(not(target_family = "wasm"))]
    let par = Par::rayon(0);
    #[cfg(target_family = "wasm")]
    let par = Par::Seq;
    let mut left = Mat::zeros(dim, dim);
    let mut values = faer::Col::zeros(dim);
    let request = svd_scratch::<f64>(
        dim,
        matrix.ncols(),
        ComputeSvdVectors::Full,
        ComputeSvdVectors::No,
        par,
        Default::default(),
    );
    svd(
        matrix,
        values.as_diagonal_mut(),
        Some(left.as_mut()),
        None,
        par,
        MemStack::new(&mut MemBuffer::new(request)),
        Default::default(),
    )
    .ok()?;
    Some((left, values.iter().copied().collect()))
}

fn random_unit<'a>(column: impl Iterator<Item = &'a mut f64>, rng: &mut impl Rng) {
    let entries: Vec<&mut f64> = column.collect();
    let draws: Vec<f64> = entries.iter().map(|_| StandardNormal.sample(rng)).collect();
    let norm = draws.iter().map(|x: &f64| x * x).sum::<f64>().sqrt();
    for (entry, draw) in entries.into_iter().zip(draws) {
        *entry = draw / norm;
    }
}
