use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::refine::nullspace::Basis;

/// Direction of the planted vector relative to the next block's left nullspace.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In the span of the basis: the linearised next block hardly reads it.
    #[default]
    Inside,
    /// Half in the span, half orthogonal to it.
    Mixed,
    /// Orthogonal to the span.
    Outside,
}

impl Placement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inside, Self::Mixed, Self::Outside];

    /// Its name: `inside`, `mixed` or `outside`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Mixed => "mixed",
            Self::Outside => "outside",
        }
    }

    /// `count` orthonormal vectors of width D placed so.
    ///
    /// # Errors
    /// [`Error::Setting`] where the basis, or what is orthogonal to it, has fewer dimensions.
    pub(super) fn vectors(self, basis: &Basis, count: usize, seed: u64) -> Result<Vec<Vec<f64>>> {
        let (dim, rank, columns) = (basis.dim(), basis.rank(), basis.to_rows());
        let room = match self {
            Self::Inside => rank,
            Self::Mixed => rank.min(dim - rank),
            Self::Outside => dim - rank,
        };
        if room < count {
            return Err(Error::setting(
                "rank",
                rank,
                format!(
                    "tokens of width {dim} must leave {count} directions {} the nullspace",
                    self.name()
                ),
            ));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut insides, mut outsides): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let random: Vec<f64> = (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect();
            let along: Vec<f64> = (0..rank)
                .map(|k| (0..dim).map(|i| columns[i * rank + k] * random[i]).sum())
                .collect();
            let inside: Vec<f64> = (0..dim)
                .map(|i| (0..rank).map(|k| columns[i * rank + k] * along[k]).sum())
                .collect();
            let outside: Vec<f64> = random.iter().zip(&inside).map(|(r, n)| r - n).collect();
            insides.push(unit(apart_from(inside, &insides)));
            outsides.push(unit(apart_from(outside, &outsides)));
        }
        Ok(match self {
            Self::Inside => insides,
            Self::Outside => outsides,
            Self::Mixed => {
                let both = insides.iter().zip(&outsides);
                both.map(|(a, b)| unit(a.iter().zip(b).map(|(a, b)| a + b).collect())).collect()
            }
        })
    }
}

/// What of a vector is orthogonal to orthonormal ones.
fn apart_from(mut vector: Vec<f64>, others: &[Vec<f64>]) -> Vec<f64> {
    for other in others {
        let along: f64 = vector.iter().zip(other).map(|(v, o)| v * o).sum();
        vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
    }
    vector
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    vector.into_iter().map(|x| x / norm).collect()
}

/// `dim` random orthonormal vectors of that width.
pub(super) fn random_basis(dim: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(dim);
    while basis.len() < dim {
        let random: Vec<f64> = (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        // Twice, as what is left of the last ones is small.
        let apart = unit(apart_from(random, &basis));
        let apart = unit(apart_from(apart, &basis));
        basis.push(apart);
    }
    basis
}
