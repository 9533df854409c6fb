//! Position encoding: learned embeddings on another patch grid, and rotary embeddings.

use std::f64::consts::TAU;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::config::Positions;

/// Resamples a learned position embedding `[rows, D]` (row-major) from one patch
/// grid to another, as timm's `resample_abs_pos_embed`: bicubic with
/// antialiasing (a = -0.5, pixel centres at halves), the first `prefix` rows as
/// they are.
///
/// # Panics
/// Where the rows are not `prefix` and one for each patch of `from`.
pub fn resample_positions(
    positions: &[f32],
    prefix: usize,
    from: [usize; 2],
    to: [usize; 2],
) -> Vec<f32> {
    if from == to {
        return positions.to_vec();
    }
    let rows = prefix + from[0] * from[1];
    assert!(rows > 0 && positions.len().is_multiple_of(rows), "{rows} rows of one width");
    let dim = positions.len() / rows;
    let (fixed, grid) = positions.split_at(prefix * dim);
    // Columns before rows, as torch does: the sums round in its order.
    let wide: Vec<f32> =
        grid.chunks(from[1] * dim).flat_map(|row| resample(row, dim, from[1], to[1])).collect();
    let tall = resample(&wide, to[1] * dim, from[0], to[0]);
    [fixed, tall.as_slice()].concat()
}

/// Resamples `from` rows of `width` values to `to` rows.
fn resample(values: &[f32], width: usize, from: usize, to: usize) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    // Shrinking widens the filter; that is the antialiasing.
    let stretch = scale.max(1.0);
    let mut out = Vec::with_capacity(to * width);
    for row in 0..to {
        let centre = (row as f64 + 0.5) * scale;
        let reach = 2.0 * stretch;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weights: Vec<f64> =
            (first..end).map(|i| bicubic((i as f64 + 0.5 - centre) / stretch)).collect();
        let total: f64 = weights.iter().sum();
        out.extend((0..width).map(|column| {
            let taps = weights.iter().zip(first..end);
            let sum: f64 =
                taps.map(|(weight, i)| weight * f64::from(values[i * width + column])).sum();
            (sum / total) as f32
        }));
    }
    out
}

/// Keys' cubic convolution kernel with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Axial rotary embedding: queries and keys of patch tokens are rotated by angles that depend
/// on the patch's row and column; class and register tokens are not rotated.
///
/// DINOv3's: a centred coordinate in [-1, 1] over each axis, times `2π / temperature^(4 i
/// / head_dim)` for `i < head_dim / 4`, rows before columns, gives the angles of
/// half the channels; channel `c` and `c + head_dim / 2` rotate together ("half"
/// rotation). See <https://arxiv.org/abs/2508.10104> and timm's
/// `RotaryEmbeddingDinoV3`.
///
/// EVA-02's and the Perception Encoder's: the patch's number along each axis, times
/// `10000^(-4 i / head_dim)`; channels `2 c` and `2 c + 1` rotate together. See
/// <https://arxiv.org/abs/2303.11331> and timm's `RotaryEmbeddingCat`.
#[derive(Debug, Clone)]
pub struct Rope {
    positions: Positions,
    head_dim: usize,
    patches: usize,
    /// `[P, head_dim]` each, shared by all blocks. On the host: the table
    /// follows the queries to their device and precision.
    sin: Arc<[f32]>,
    cos: Arc<[f32]>,
}

/// Sines and cosines of the angles of [`Rope`] on a grid of P patches, `[P, head_dim]`
/// each, row-major; empty where positions are not rotary.
pub fn rotary_tables(
    positions: Positions,
    head_dim: usize,
    grid: [usize; 2],
) -> (Vec<f32>, Vec<f32>) {
    let quarter = head_dim / 4;
    let angle = |at: [usize; 2], channel: usize| match positions {
        Positions::Learned => None,
        Positions::Rotary { temperature } => {
            let place = channel % (2 * quarter);
            let axis = place / quarter;
            let coordinate = 2.0 * (at[axis] as f64 + 0.5) / grid[axis] as f64 - 1.0;
            let exponent = 4.0 * (place % quarter) as f64 / head_dim as f64;
            Some(TAU * coordinate / temperature.powf(exponent))
        }
        Positions::LearnedAndRotary { side, first, columns_first } => {
            let place = channel / 2;
            let axis = usize::from((place >= quarter) != columns_first);
            let number = (at[axis] + first) as f64 / grid[axis] as f64 * side as f64;
            Some(number / 10_000_f64.powf((place % quarter) as f64 / quarter as f64))
        }
    };
    let patches = (0..grid[0]).flat_map(|row| (0..grid[1]).map(move |column| [row, column]));
    let angles: Vec<f64> = patches
        .flat_map(|at| (0..head_dim).filter_map(move |channel| angle(at, channel)))
        .collect();
    let table = |of: fn(f64) -> f64| angles.iter().map(|&angle| of(angle) as f32).collect();
    (table(f64::sin), table(f64::cos))
}

impl Rope {
    /// The table for a grid of patches; none where positions are not rotary. `head_dim` is a
    /// multiple of 4.
    pub(super) fn new(positions: Positions, head_dim: usize, grid: [usize; 2]) -> Option<Self> {
        let (sin, cos) = rotary_tables(positions, head_dim, grid);
        let patches = grid[0] * grid[1];
        let rope = Self { positions, head_dim, patches, sin: sin.into(), cos: cos.into() };
        positions.is_rotary().then_some(rope)
    }

    /// Whether neighbouring channels rotate together, rather than channels half a head apart.
    pub fn is_interleaved(&self) -> bool {
        matches!(self.positions, Positions::LearnedAndRotary { .. })
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
    pub(super) fn with_grid(&self, grid: [usize; 2]) -> Option<Self> {
        Self::new(self.positions, self.head_dim, grid)
    }

    /// Rotates queries or keys, `[B, heads, T, head_dim]`; the patches are the
    /// last of the T tokens.
    pub(super) fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, tokens, dim] = x.dims();
        let prefix = tokens - self.patches;
        let patches = x.clone().narrow(2, prefix, self.patches);
        let table = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, 1, self.patches, dim]);
            Tensor::<4>::from_data(data, &x.device()).cast(x.dtype())
        };
        let swapped = self.swapped(patches.clone());
        let rotated = patches * table(&self.cos) + swapped * table(&self.sin);
        if prefix == 0 {
            return rotated;
        }
        Tensor::cat(vec![x.narrow(2, 0, prefix), rotated], 2)
    }

    /// Each channel's partner, the first of a pair negated: `[.., -right, .., left, ..]`.
    fn swapped(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let half = shape[3] / 2;
        if self.is_interleaved() {
            let pairs = x.reshape([shape[0], shape[1], shape[2], half, 2]);
            let [left, right] = [0, 1].map(|at| pairs.clone().narrow(4, at, 1));
            return Tensor::cat(vec![-right, left], 4).reshape(shape);
        }
        let [left, right] = [0, half].map(|start| x.clone().narrow(3, start, half));
        Tensor::cat(vec![-right, left], 3)
    }
}
