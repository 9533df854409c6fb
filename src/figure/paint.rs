use burn::tensor::{Tensor, TensorData};
use image::{Rgba, RgbaImage};

use super::{ColourBar, undrawable};
use crate::error::Result;
use crate::maps::FeatureMaps;

/// Draws a map `[rows, cols]` at `size` `[H, W]`; transparent where a value is not finite.
pub(crate) fn map_picture(
    maps: &FeatureMaps,
    values: &[f32],
    grid: [usize; 2],
    size: [usize; 2],
    bar: &ColourBar,
) -> Result<RgbaImage> {
    if values.len() != grid[0] * grid[1] || values.is_empty() {
        return Err(undrawable(format_args!(
            "a map of {} values does not fill {} x {} patches",
            values.len(),
            grid[0],
            grid[1]
        )));
    }
    let map = Tensor::<2>::from_data(TensorData::new(values.to_vec(), grid), maps.device());
    maps.picture(map, size, &bar.colouring(), None)
}

/// Draws a map enlarged by a whole factor, for viewers that blur what they enlarge; one of many
/// patches as it is, as a page has hundreds of them.
pub(crate) fn small_map_picture(
    maps: &FeatureMaps,
    values: &[f32],
    grid: [usize; 2],
    bar: &ColourBar,
) -> Result<RgbaImage> {
    const SIDE: usize = 112;
    const MANY: usize = 24;
    let longest = grid[0].max(grid[1]).max(1);
    let zoom = if longest < MANY { SIDE / longest } else { 1 };
    map_picture(maps, values, grid, grid.map(|count| count * zoom), bar)
}

/// The background of a map, seen where it has no value: grey hatching, which no colour
/// scale contains.
pub(super) fn hatch(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let grey = if (x + y) % 12 < 3 { 150 } else { 225 };
        Rgba([grey, grey, grey, 255])
    })
}
