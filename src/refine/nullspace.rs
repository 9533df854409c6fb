//! The left nullspace of a block, linearised as its MLP without bias and activation:
//! `W̃ = (W_fc2 W_fc1)^T`, `[D, D]` (the paper's section on initialisation).
//!
//! Everything here is f64 on the host and runs once, when adapters are made.

use burn::tensor::{Device, Tensor, TensorData};
use faer::{Mat, MatRef, Par};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::readback::read_async;
use crate::vit::Block;

/// The block that reads the tokens leaving block `layer`: the next one, and for the last
/// block that block itself.
pub fn next_block(layer: usize, depth: usize) -> usize {
    (layer + 1).min(depth - 1)
}

/// A block's linearisation `W̃ = (W_fc2 W_fc1)^T`, `[D, D]`, in f64: a row vector `x W̃` is
/// what the MLP would give without bias and activation.
///
/// A SwiGLU gives `fc2(silu(gate) * value)`. Without its activation, which is the gate,
/// `fc2(value)` is left, so `W_fc1` is the half that makes the values: what lies in the left
/// nullspace of the result changes no value, though it may change gates.
#[derive(Debug, Clone)]
pub struct Linearised(Mat<f64>);

impl Linearised {
    /// Linearises a block.
    #[cfg(not(target_family = "wasm"))]
    pub fn of(block: &Block) -> Self {
        let host = |weight: Tensor<2>| {
            let [rows, columns] = weight.dims();
            let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
            matrix(&values, [rows, columns])
        };
        let [fc1, fc2] = factors(block);
        Self(host(fc1) * host(fc2))
    }

    /// As `of`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub async fn of_async(block: &Block) -> Result<Self> {
        let [fc1, fc2] = factors(block);
        let shapes = [fc1.dims(), fc2.dims()];
        let values = [read_async(fc1).await?, read_async(fc2).await?];
        Ok(Self(matrix(&values[0], shapes[0]) * matrix(&values[1], shapes[1])))
    }

    /// From its entries, row-major `[D, D]`.
    ///
    /// # Panics
    /// Where there are not D² of them.
    pub fn from_rows(entries: &[f64], dim: usize) -> Self {
        assert_eq!(entries.len(), dim * dim, "a linearised block is square");
        Self(Mat::from_fn(dim, dim, |i, j| entries[i * dim + j]))
    }

    /// Width D.
    pub fn dim(&self) -> usize {
        self.0.nrows()
    }

    /// Its entries, row-major `[D, D]`.
    pub fn to_rows(&self) -> Vec<f64> {
        row_major(self.0.as_ref())
    }
}

/// burn stores `[in, out]`, the transpose of the formula's matrices.
fn factors(block: &Block) -> [Tensor<2>; 2] {
    let fc1 = block.mlp.fc1.weight.val();
    let values = match block.mlp.activation().is_gated() {
        false => fc1,
        true => {
            let half = fc1.dims()[1] / 2;
            fc1.narrow(1, half, half)
        }
    };
    [values, block.mlp.fc2.weight.val()]
}

fn matrix(values: &[f32], [rows, cols]: [usize; 2]) -> Mat<f64> {
    Mat::from_fn(rows, cols, |i, j| f64::from(values[i * cols + j]))
}

pub(super) fn row_major(matrix: MatRef<'_, f64>) -> Vec<f64> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    (0..rows).flat_map(|i| (0..columns).map(move |j| matrix[(i, j)])).collect()
}

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
    /// Those that the next whole block reads least at real tokens,
    /// [`Sensitivity::basis`](super::Sensitivity::basis); needs images.
    Data,
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
    vectors: Mat<f64>,
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
    /// [`Error::Setting`] for a rank of 0 or above D and for [`BasisKind::Data`], which is none of
    /// the linearised block; [`Error::Svd`] (with `block`) where the weights are not finite.
    pub fn select(linearised: &Linearised, selection: &Selection, block: usize) -> Result<Self> {
        let linearised = linearised.0.as_ref();
        let dim = linearised.nrows();
        let Selection { kind, rank, threshold, seed } = *selection;
        check_rank(rank, dim)?;
        let (left, spectrum) = left_singular(linearised).ok_or(Error::Svd(block))?;
        let columns = match kind {
            BasisKind::Smallest => dim - rank..dim,
            BasisKind::Threshold => {
                let first = spectrum.partition_point(|&value| value >= threshold);
                first..(first + rank).min(dim)
            }
            BasisKind::Random => 0..0,
            BasisKind::Data => {
                return Err(Error::setting("basis", "data", "it takes images to choose that one"));
            }
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

    /// From orthonormal columns `[D, r]`.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn of(vectors: Mat<f64>, spectrum: Vec<f64>, residual: f64) -> Self {
        Self { vectors, spectrum, residual, random_columns: 0 }
    }

    /// Width D of a token.
    pub fn dim(&self) -> usize {
        self.vectors.nrows()
    }

    /// Number of vectors r.
    pub fn rank(&self) -> usize {
        self.vectors.ncols()
    }

    /// N, row-major `[D, r]`.
    pub fn to_rows(&self) -> Vec<f64> {
        row_major(self.vectors.as_ref())
    }

    /// N on a device, `[D, r]` in f32.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2> {
        let rows: Vec<f32> = self.to_rows().into_iter().map(|entry| entry as f32).collect();
        Tensor::from_data(TensorData::new(rows, [self.dim(), self.rank()]), device)
    }
}

pub(super) fn check_rank(rank: usize, dim: usize) -> Result<()> {
    match (1..=dim).contains(&rank) {
        true => Ok(()),
        false => {
            let expected = format!("it must lie between 1 and the teacher's width {dim}");
            Err(Error::setting("rank", rank, expected))
        }
    }
}

/// Left singular vectors and singular values, descending; the right ones are
/// not wanted and not computed.
pub(super) fn left_singular(matrix: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>)> {
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
