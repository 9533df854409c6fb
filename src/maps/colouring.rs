use image::{Rgba, RgbaImage};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gpu::ColorMap;

/// A colour scale. All but grey and diverging are perceptually ordered from dark to bright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Palette {
    /// Black, purple, orange, yellow: the paper's for norms.
    #[default]
    Inferno,
    /// Purple, green, yellow: the paper's for similarity.
    Viridis,
    /// Black, purple, pink, white.
    Magma,
    /// A rainbow of even brightness.
    Turbo,
    /// Black to white.
    Grey,
    /// Blue, white, red: for values on both sides of zero, with a range that is even around it.
    Diverging,
}

impl Palette {
    /// Number of colours in a table.
    pub const LEVELS: usize = ColorMap::LEVELS;

    /// The scale as `LEVELS` opaque colours, least first.
    pub fn table(self) -> [[u8; 4]; Self::LEVELS] {
        let scale = match self {
            Self::Inferno => Some(colorous::INFERNO),
            Self::Viridis => Some(colorous::VIRIDIS),
            Self::Magma => Some(colorous::MAGMA),
            Self::Turbo => Some(colorous::TURBO),
            Self::Diverging => Some(colorous::RED_BLUE),
            Self::Grey => None,
        };
        std::array::from_fn(|level| match scale {
            Some(scale) => {
                let at = level as f64 / (Self::LEVELS - 1) as f64;
                // That scale begins with red.
                let at = if self == Self::Diverging { 1.0 - at } else { at };
                let colour = scale.eval_continuous(at);
                [colour.r, colour.g, colour.b, 255]
            }
            None => [level as u8, level as u8, level as u8, 255],
        })
    }
}

/// How a map of patches becomes a picture of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsampling {
    /// Each patch is one square of one colour.
    #[default]
    Nearest,
    /// Linear between patch centres, constant beyond the outermost ones.
    Bilinear,
}

/// Which values get the first and the last colour.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourRange {
    /// The least and the largest finite value of the map.
    #[default]
    Automatic,
    /// These two; values outside get the nearer end's colour.
    Fixed(f32, f32),
}

/// How to draw a scalar map.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Colouring {
    /// The colours.
    pub palette: Palette,
    /// From patches to pixels.
    pub upsampling: Upsampling,
    /// From values to colours.
    pub range: ColourRange,
    /// Opacity of the map where it lies over an image, 0 to 1.
    pub opacity: f32,
}

/// Draws a map `[h, w]` (row-major) at `size` `[H, W]`, over `under` where given:
/// the same operation as `shaders/colormap.wgsl`. A value that is not finite is
/// transparent, or shows what lies under it.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for an empty map or picture, and where the
/// values are not those of the grid or the image under them is of another size.
pub fn draw(
    values: &[f32],
    [rows, cols]: [usize; 2],
    [height, width]: [usize; 2],
    colouring: &Colouring,
    under: Option<&RgbaImage>,
) -> Result<RgbaImage> {
    check_picture([rows, cols], [height, width], under)?;
    if values.len() != rows * cols {
        let reason = format!("{} values are not {rows}x{cols} patches", values.len());
        return Err(Error::shape("map", reason));
    }
    let (low, high) = match colouring.range {
        ColourRange::Fixed(low, high) => (low, high),
        ColourRange::Automatic => extent(values),
    };
    let table = colouring.palette.table();
    let scale = [rows as f32 / height as f32, cols as f32 / width as f32];
    Ok(RgbaImage::from_fn(width as u32, height as u32, |x, y| {
        let at = [(y as f32 + 0.5) * scale[0], (x as f32 + 0.5) * scale[1]];
        let value = match colouring.upsampling {
            Upsampling::Nearest => {
                let row = (at[0] as usize).min(rows - 1);
                values[row * cols + (at[1] as usize).min(cols - 1)]
            }
            Upsampling::Bilinear => bilinear(values, [rows, cols], at),
        };
        let below = under.map(|image| *image.get_pixel(x, y));
        if !value.is_finite() {
            return below.unwrap_or(Rgba([0, 0, 0, 0]));
        }
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        let level = (share.clamp(0.0, 1.0) * (Palette::LEVELS - 1) as f32 + 0.5) as usize;
        let colour = table[level.min(Palette::LEVELS - 1)];
        match below {
            None => Rgba(colour),
            Some(Rgba(below)) => Rgba(std::array::from_fn(|channel| {
                let (over, under) = (f32::from(colour[channel]), f32::from(below[channel]));
                (under + (over - under) * colouring.opacity + 0.5) as u8
            })),
        }
    }))
}

pub(super) fn check_picture(
    grid: [usize; 2],
    size: [usize; 2],
    under: Option<&RgbaImage>,
) -> Result<()> {
    let fits = |image: &RgbaImage| [image.height(), image.width()] == size.map(|n| n as u32);
    if size.contains(&0) || grid.contains(&0) || under.is_some_and(|image| !fits(image)) {
        let mut reason = format!("cannot draw {grid:?} patches at {size:?} pixels");
        if let Some(image) = under {
            reason += &format!(" over {:?}", [image.height(), image.width()]);
        }
        return Err(Error::shape("map", reason));
    }
    Ok(())
}

/// The least and the largest finite value; zeros where there is none.
pub fn extent(values: &[f32]) -> (f32, f32) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(f32::INFINITY, f32::min);
    let high = finite().fold(f32::NEG_INFINITY, f32::max);
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

fn bilinear(values: &[f32], [rows, cols]: [usize; 2], [y, x]: [f32; 2]) -> f32 {
    let along = |position: f32, count: usize| {
        let position = (position - 0.5).clamp(0.0, (count - 1) as f32);
        let first = position as usize;
        (first, (first + 1).min(count - 1), position - first as f32)
    };
    let (top, bottom, down) = along(y, rows);
    let (left, right, across) = along(x, cols);
    let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
    let line = |row: usize| mix(values[row * cols + left], values[row * cols + right], across);
    mix(line(top), line(bottom), down)
}
