use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static EXTENT: Shader<Params> = shader!("colormap", "extent", [], [LEVELS, SQUARE]);
pub(super) static PLAIN: Shader<Params> = shader!("colormap", "colormap", [], [LEVELS, SQUARE]);
pub(super) static OVER: Shader<Params> = shader!("colormap", "colormap", [over], [LEVELS, SQUARE]);
const LEVELS: usize = 256;
/// Side of a workgroup's square of pixels.
const SQUARE: usize = 16;

params! {
    /// Mirrors `Params` of shaders/colormap.wgsl.
    pub(super) struct Params {
        rows: u32,
        columns: u32,
        height: u32,
        width: u32,
        row_stride: u32,
        bilinear: u32,
        opacity: f32,
    }
}

/// How [`ColorMap`] draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawing {
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Pixels along height and width.
    pub size: [usize; 2],
    /// Pixels from one row of the output to the next, at least the width.
    pub row_stride: usize,
    /// Interpolate between patch centres instead of taking the nearest patch.
    pub bilinear: bool,
    /// Opacity of the map over the image under it, 0 to 1.
    pub opacity: f32,
}

/// A scalar map as RGBA pixels: `shaders/colormap.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct ColorMap;

impl ColorMap {
    /// Number of colours in a table.
    pub const LEVELS: usize = LEVELS;

    /// Writes the least and the largest finite value of a map to `range`, `[2]`.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device refuses the work.
    pub fn extent(
        recording: &mut Recording,
        values: &Slice,
        drawing: &Drawing,
        range: &Slice,
    ) -> Result<()> {
        let params = params(drawing)?;
        values.check("colormap, values", drawing.grid[0] * drawing.grid[1])?;
        range.check("colormap, range", 2)?;
        recording.dispatch(&EXTENT, &params, &[(1, values), (3, range)], [1, 1, 1])
    }

    /// Draws values `[h, w]`, coloured by a table of [`LEVELS`](Self::LEVELS) colours over
    /// a range `[2]`, as RGBA pixels `[H, row_stride]`; over the pixels `[H, W]` of `under`
    /// if given.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty map or picture.
    pub fn record(
        recording: &mut Recording,
        values: &Slice,
        drawing: &Drawing,
        [table, range]: [&Slice; 2],
        under: Option<&Slice>,
        out: &Slice,
    ) -> Result<()> {
        let params = params(drawing)?;
        values.check("colormap, values", drawing.grid[0] * drawing.grid[1])?;
        table.check("colormap, table", LEVELS)?;
        range.check("colormap, range", 2)?;
        if let Some(under) = under {
            under.check("colormap, image", drawing.size[0] * drawing.size[1])?;
        }
        // The last row need not fill its stride.
        let last = (drawing.size[0] - 1) * drawing.row_stride + drawing.size[1];
        out.check("colormap, picture", last)?;
        let [height, width] = drawing.size.map(|pixels| pixels.div_ceil(SQUARE) as u32);
        let mut slices = vec![(1, values), (2, table), (3, range), (5, out)];
        slices.extend(under.map(|under| (4, under)));
        let stage = if under.is_some() { &OVER } else { &PLAIN };
        recording.dispatch(stage, &params, &slices, [width, height, 1])
    }
}

fn params(drawing: &Drawing) -> Result<Params> {
    let Drawing { grid, size, row_stride, .. } = *drawing;
    if grid.contains(&0) || size.contains(&0) || row_stride < size[1] {
        let reason =
            format!("cannot draw {grid:?} patches at {size:?} pixels, {row_stride} to a row");
        return Err(Error::shape("colormap", reason));
    }
    Ok(Params {
        rows: grid[0] as u32,
        columns: grid[1] as u32,
        height: size[0] as u32,
        width: size[1] as u32,
        row_stride: row_stride as u32,
        bilinear: u32::from(drawing.bilinear),
        opacity: drawing.opacity.clamp(0.0, 1.0),
    })
}
