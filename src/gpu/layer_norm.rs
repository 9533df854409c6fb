use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::Result;

pub(super) static LAYER_NORM: Shader<Params> = shader!("layer_norm", "layer_norm", [], [ROWS]);
/// Rows per workgroup.
const ROWS: usize = 8;

params! {
    /// Mirrors `Params` of shaders/layer_norm.wgsl.
    pub(super) struct Params {
        rows: u32,
        dim: u32,
        epsilon: f32,
    }
}

/// Layer normalisation over channels: `shaders/layer_norm.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Scale `[D]`.
    pub gamma: &'a Slice,
    /// Shift `[D]`.
    pub beta: &'a Slice,
    /// D, a multiple of 4.
    pub dim: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    /// `[R, D] -> [R, D]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where D is no multiple of 4 or a slice
    /// too short, [`GpuLimit`](crate::Error::GpuLimit) where one exceeds a binding.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Slice,
        rows: usize,
        out: &Slice,
    ) -> Result<()> {
        super::by_four("layer_norm", self.dim)?;
        for vector in [self.gamma, self.beta] {
            vector.check("layer_norm, parameters", self.dim)?;
        }
        for tokens in [x, out] {
            tokens.check("layer_norm, tokens", rows * self.dim)?;
        }
        let params = Params { rows: rows as u32, dim: self.dim as u32, epsilon: self.epsilon };
        let slices = [(1, x), (2, self.gamma), (3, self.beta), (4, out)];
        let groups = recording.gpu().spread(rows.div_ceil(ROWS));
        recording.dispatch(&LAYER_NORM, &params, &slices, groups)
    }
}
