use image::{RgbImage, Rgba, RgbaImage};

use super::ColourBar;

/// One picture of a sheet, with the text around it.
#[derive(Debug, Clone)]
pub struct Tile<'a> {
    /// What it shows: the first line of its title.
    pub kind: String,
    /// Whose features: the second line.
    pub subject: String,
    /// The picture.
    pub image: TileImage<'a>,
    /// The marked place.
    pub cross: Option<Cross>,
    /// What is written under it.
    pub numbers: String,
}

/// The picture of a tile.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TileImage<'a> {
    /// An image as the model saw it.
    Photo(&'a RgbImage),
    /// A value for each patch.
    Map {
        /// Row-major, `rows * cols`.
        values: &'a [f32],
        /// Rows and columns.
        grid: [usize; 2],
        /// Their colours.
        bar: ColourBar,
    },
    /// A colour for each patch, transparent where there is none.
    Patches(RgbaImage),
}

/// A red × in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cross {
    /// Its centre from the top and from the left, as shares of height and width.
    pub centre: [f32; 2],
}

impl Cross {
    /// At the middle of the patch in a row and column of `grid`, `[rows, cols]`.
    pub fn on_patch([row, column]: [usize; 2], grid: [usize; 2]) -> Self {
        let middle = |index: usize, count: usize| (index as f32 + 0.5) / count.max(1) as f32;
        Self { centre: [middle(row, grid[0]), middle(column, grid[1])] }
    }

    /// The × for a picture of `width` x `height` pixels, transparent elsewhere. Red
    /// strokes with white and black edges stand out on every ground.
    pub(super) fn drawn(self, width: u32, height: u32, arm: f32) -> RgbaImage {
        let [y, x] = [self.centre[0] * height as f32, self.centre[1] * width as f32];
        let stroke = arm * 0.22;
        RgbaImage::from_fn(width, height, |column, row| {
            let (dx, dy) = (column as f32 + 0.5 - x, row as f32 + 0.5 - y);
            // Along and across both diagonals.
            let (u, v) = ((dx + dy).abs() * 0.5f32.sqrt(), (dx - dy).abs() * 0.5f32.sqrt());
            let (along, across) = (u.max(v), u.min(v));
            let distance = across.hypot((along - arm).max(0.0));
            let within = |radius: f32| (radius - distance + 0.5).clamp(0.0, 1.0);
            let (red, white) = (within(stroke), within(stroke + arm * 0.2));
            let shade = |on: f32| (255.0 * (white * (1.0 - red) + on * red)) as u8;
            let edge = within(stroke + arm * 0.3);
            Rgba([shade(0.9), shade(0.0), shade(0.13), (255.0 * edge) as u8])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cross_is_red_at_its_centre_white_at_its_edge_and_clear_elsewhere() {
        let cross = Cross::on_patch([1, 2], [4, 4]).drawn(160, 160, 16.0);
        let Rgba([r, g, _, alpha]) = *cross.get_pixel(100, 60);
        assert!(r > 200 && g < 40 && alpha == 255);
        let bright = cross
            .pixels()
            .filter(|pixel| pixel.0[..3].iter().all(|value| *value > 220) && pixel.0[3] == 255);
        assert!(bright.count() > 40);
        assert_eq!(cross.get_pixel(5, 5).0[3], 0);
    }
}
