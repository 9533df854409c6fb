use std::f64::consts::TAU;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

/// Axial rotary positions of DINOv3: queries and keys of patch tokens are
/// turned by angles that follow from the patch's row and column; class and
/// register tokens stay as they are.
///
/// A centred coordinate in [-1, 1] over each axis, times `2π / temperature^(4 i
/// / head_dim)` for `i < head_dim / 4`, rows before columns, gives the angles of
/// half the channels; channel `c` and `c + head_dim / 2` turn together ("half"
/// rotation). See <https://arxiv.org/abs/2508.10104> and timm's
/// `RotaryEmbeddingDinoV3`.
#[derive(Debug, Clone)]
pub struct Rope {
    temperature: f64,
    head_dim: usize,
    patches: usize,
    /// `[P, head_dim]` each, shared by all blocks. On the host: the table
    /// follows the queries to their device and precision.
    sin: Arc<[f32]>,
    cos: Arc<[f32]>,
}

/// Sines and cosines of the angles of [`Rope`] on a grid of P patches, `[P, head_dim]`
/// each, row-major.
pub fn rotary_tables(temperature: f64, head_dim: usize, grid: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let centred = |i: usize, side: usize| 2.0 * (i as f64 + 0.5) / side as f64 - 1.0;
    let quarter = head_dim / 4;
    let mut angles = Vec::with_capacity(grid[0] * grid[1] * head_dim);
    for row in 0..grid[0] {
        for column in 0..grid[1] {
            for channel in 0..head_dim {
                let place = channel % (2 * quarter);
                let coordinate = match place / quarter {
                    0 => centred(row, grid[0]),
                    _ => centred(column, grid[1]),
                };
                let exponent = 4.0 * (place % quarter) as f64 / head_dim as f64;
                angles.push(TAU * coordinate / temperature.powf(exponent));
            }
        }
    }
    let table = |of: fn(f64) -> f64| angles.iter().map(|&angle| of(angle) as f32).collect();
    (table(f64::sin), table(f64::cos))
}

impl Rope {
    /// The table for a grid of patches. `head_dim` is a multiple of 4.
    pub(super) fn new(temperature: f64, head_dim: usize, grid: [usize; 2]) -> Self {
        let (sin, cos) = rotary_tables(temperature, head_dim, grid);
        Self { temperature, head_dim, patches: grid[0] * grid[1], sin: sin.into(), cos: cos.into() }
    }

    /// Channels of a head, d.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Sines and cosines of every patch's angles, `[P, d]` each, row-major.
    pub fn tables(&self) -> [&[f32]; 2] {
        [&self.sin, &self.cos]
    }

    /// Number of patches P that the table is for.
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// The same positions on another grid.
    pub(super) fn with_grid(&self, grid: [usize; 2]) -> Self {
        Self::new(self.temperature, self.head_dim, grid)
    }

    /// Turns queries or keys, `[B, heads, T, head_dim]`; the patches are the
    /// last of the T tokens.
    pub(super) fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, tokens, dim] = x.dims();
        let prefix = tokens - self.patches;
        let patches = x.clone().narrow(2, prefix, self.patches);
        let table = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, 1, self.patches, dim]);
            Tensor::<4>::from_data(data, &x.device()).cast(x.dtype())
        };
        let half = dim / 2;
        let [left, right] = [0, half].map(|start| patches.clone().narrow(3, start, half));
        let swapped = Tensor::cat(vec![-right, left], 3);
        let turned = patches * table(&self.cos) + swapped * table(&self.sin);
        if prefix == 0 {
            return turned;
        }
        Tensor::cat(vec![x.narrow(2, 0, prefix), turned], 2)
    }
}
