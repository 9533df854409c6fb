use burn::tensor::{Tensor, TensorData};

use super::Vit;
use crate::error::{Error, Result};
use crate::readback::read_async;

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

impl Vit {
    /// The same model for images of another patch grid: only its positions
    /// change. Learned ones are resampled, see [`resample_positions`]; rotary ones
    /// follow from the grid.
    ///
    /// # Errors
    /// [`Error::Config`] where the model's own grid is not `from`, or `to` is
    /// empty.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_grid(&self, from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        let values = || Some(self.pos_embed.as_ref()?.val().into_data().iter().collect());
        self.regridded(from, to, if from == to { None } else { values() })
    }

    /// As `with_grid`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// As `with_grid`, and [`Error::Gpu`].
    pub async fn with_grid_async(&self, from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        let values = match &self.pos_embed {
            Some(positions) if from != to => Some(read_async(positions.val()).await?),
            _ => None,
        };
        self.regridded(from, to, values)
    }

    fn regridded(
        &self,
        from: [usize; 2],
        to: [usize; 2],
        positions: Option<Vec<f32>>,
    ) -> Result<Self> {
        let mut model = self.clone();
        if from == to {
            return Ok(model);
        }
        let refuse = |rows: usize, prefix: usize| {
            Error::config(format!(
                "cannot bring {rows} positions ({prefix} of them prefix) from a grid of {from:?} patches to {to:?}"
            ))
        };
        for block in &mut model.blocks {
            let Some(rope) = &mut block.attn.rope else { continue };
            if rope.patches() != from[0] * from[1] || to.contains(&0) {
                return Err(refuse(rope.patches(), 0));
            }
            *rope = rope.with_grid(to);
        }
        let (Some(learned), Some(values)) = (&self.pos_embed, positions) else {
            return Ok(model);
        };
        let [_, rows, dim] = learned.dims();
        let prefix = if self.no_embed_class { 0 } else { self.prefix_tokens() };
        if rows != prefix + from[0] * from[1] || to.contains(&0) {
            return Err(refuse(rows, prefix));
        }
        let values = resample_positions(&values, prefix, from, to);
        let data = TensorData::new(values, [1, prefix + to[0] * to[1], dim]);
        let on_device = |like: Tensor<3>| Tensor::from_data(data, (&like.device(), like.dtype()));
        model.pos_embed = Some(learned.clone().map(on_device));
        Ok(model)
    }
}
