use bytemuck::NoUninit;

use super::context::Stage;
use super::{Recording, Slice};
use crate::error::Result;

static SWIGLU: Stage = Stage {
    label: "swiglu.swiglu",
    source: include_str!("../../shaders/swiglu.wgsl"),
    entry: "swiglu",
};
/// Vectors of four that a workgroup takes.
const VECTORS: usize = 64;

/// Mirrors `Params` of shaders/swiglu.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Params {
    rows: u32,
    columns: u32,
}

/// The gate of a packed SwiGLU: `shaders/swiglu.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Swiglu;

impl Swiglu {
    /// `[R, 2 N] -> [R, N]`, N a multiple of 4.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where the shapes do not fit,
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
        let groups = recording.gpu().spread((rows * columns / 4).div_ceil(VECTORS));
        recording.dispatch(&SWIGLU, &params, &[(1, x), (2, out)], groups)
    }
}
