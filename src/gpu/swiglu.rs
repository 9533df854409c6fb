use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::Result;

pub(super) static SWIGLU: Shader<Params> = shader!("swiglu", "swiglu", [], [WORKGROUP]);
/// Vectors of four per workgroup.
const WORKGROUP: usize = 64;

params! {
    /// Mirrors `Params` of shaders/swiglu.wgsl.
    pub(super) struct Params {
        rows: u32,
        columns: u32,
    }
}

/// The gate of a packed SwiGLU: `shaders/swiglu.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Swiglu;

impl Swiglu {
    /// `[R, 2 N] -> [R, N]`, N a multiple of 4.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the shapes do not fit,
    /// [`GpuLimit`](crate::Error::GpuLimit) where a slice exceeds a binding.
    pub fn record(
        recording: &mut Recording,
        x: &Slice,
        [rows, columns]: [usize; 2],
        out: &Slice,
    ) -> Result<()> {
        super::by_four("swiglu", columns)?;
        x.check("swiglu, input", 2 * rows * columns)?;
        out.check("swiglu, output", rows * columns)?;
        let params = Params { rows: rows as u32, columns: columns as u32 };
        let groups = recording.gpu().spread((rows * columns / 4).div_ceil(WORKGROUP));
        recording.dispatch(&SWIGLU, &params, &[(1, x), (2, out)], groups)
    }
}
