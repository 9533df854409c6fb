//! A figure of patch-norm maps, as one self-contained SVG file.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use image::{ImageFormat, Rgb, RgbImage};

use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// One image with its maps.
pub(super) struct Row {
    pub(super) image: RgbImage,
    /// Patch norms of each column, row-major.
    pub(super) maps: Vec<Vec<f32>>,
}

/// Side of a cell in the figure.
const CELL: usize = 150;
const GAP: usize = 12;
const TOP: usize = 44;
const BAR: usize = 66;

/// Writes rows of an image and its norm maps. Each map is coloured from 0 to
/// its column's `most`, in inferno; columns with the same name share it.
pub(super) fn write(
    path: &Path,
    columns: &[(String, f32)],
    grid: [usize; 2],
    rows: &[Row],
) -> Result<()> {
    let width = GAP + (columns.len() + 1) * (CELL + GAP);
    let height = TOP + rows.len() * (CELL + GAP) + BAR;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let left = |column: usize| GAP + column * (CELL + GAP);
    let mut text = |x: usize, y: usize, text: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" fill=\"#222\">{text}</text>");
    };
    text(left(0), TOP - 10, "image");
    let bar = TOP + rows.len() * (CELL + GAP) + 8;
    for (index, (name, most)) in columns.iter().enumerate() {
        let x = left(index + 1);
        text(x, TOP - 10, name);
        text(x, bar + 28, "0");
        let most = format!("{most:.1}");
        text(x + CELL - 8 * most.len(), bar + 28, &most);
    }
    text(left(0), bar + 11, "L2 norm of each patch");
    let bar_image = RgbImage::from_fn(64, 1, |x, _| inferno(x as f32 / 63.0));
    for index in 0..columns.len() {
        place(&mut svg, &bar_image, left(index + 1), bar, CELL, 12)?;
    }
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + number * (CELL + GAP);
        place(&mut svg, &row.image, left(0), y, CELL, CELL)?;
        for (index, (map, (_, most))) in row.maps.iter().zip(columns).enumerate() {
            // Whole pixels for each patch, as not every viewer keeps edges sharp.
            let zoom = CELL / grid[0].max(grid[1]).max(1) + 1;
            let picture =
                RgbImage::from_fn((grid[1] * zoom) as u32, (grid[0] * zoom) as u32, |x, y| {
                    let norm = map[y as usize / zoom * grid[1] + x as usize / zoom];
                    inferno(norm / most.max(f32::MIN_POSITIVE))
                });
            place(&mut svg, &picture, left(index + 1), y, CELL, CELL)?;
        }
    }
    svg.push_str("</svg>\n");
    write_atomically(path, svg.as_bytes())
}

fn inferno(value: f32) -> Rgb<u8> {
    let colour = colorous::INFERNO.eval_continuous(f64::from(value.clamp(0.0, 1.0)));
    Rgb([colour.r, colour.g, colour.b])
}

fn place(svg: &mut String, image: &RgbImage, x: usize, y: usize, w: usize, h: usize) -> Result<()> {
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Error::config(format!("cannot encode a picture: {error}")))?;
    let data = base64::engine::general_purpose::STANDARD.encode(png.into_inner());
    let _ = writeln!(
        svg,
        "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>"
    );
    Ok(())
}
