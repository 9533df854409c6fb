use burn::tensor::{Tensor, TensorData};
use image::{Rgba, RgbaImage};

use super::Bar;
use crate::error::{Error, Result};
use crate::maps::FeatureMaps;

/// Turns values of patches into pixels.
pub(in crate::cli) struct Painter<'a> {
    maps: &'a FeatureMaps,
}

impl<'a> Painter<'a> {
    pub(in crate::cli) fn new(maps: &'a FeatureMaps) -> Self {
        Self { maps }
    }

    /// A map `[rows, cols]` at `size` `[H, W]`; transparent where a value is not finite.
    pub(in crate::cli) fn map(
        &self,
        values: &[f32],
        grid: [usize; 2],
        size: [usize; 2],
        bar: &Bar,
    ) -> Result<RgbaImage> {
        if values.len() != grid[0] * grid[1] || values.is_empty() {
            return Err(Error::config(format!(
                "a map of {} values does not fill {} x {} patches",
                values.len(),
                grid[0],
                grid[1]
            )));
        }
        let map =
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), grid), self.maps.device());
        self.maps.picture(map, size, &bar.colouring(), None)
    }

    /// The map on its own grid, enlarged by whole pixels, for viewers that smooth
    /// what they enlarge.
    pub(in crate::cli) fn small_map(
        &self,
        values: &[f32],
        grid: [usize; 2],
        bar: &Bar,
    ) -> Result<RgbaImage> {
        const SIDE: usize = 112;
        let zoom = (SIDE / grid[0].max(grid[1]).max(1)).max(1);
        self.map(values, grid, grid.map(|count| count * zoom), bar)
    }
}

/// The ground of a map, seen where it has no value: grey hatching, which no
/// colour scale contains.
pub(super) fn hatch(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let grey = if (x + y) % 12 < 3 { 150 } else { 225 };
        Rgba([grey, grey, grey, 255])
    })
}
