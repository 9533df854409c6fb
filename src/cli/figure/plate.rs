use image::{Rgb, RgbImage, imageops};
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::drawing::IntoDrawingArea;

use super::canvas::Canvas;
use super::layout::Type;
use super::pen::Pen;
use super::plot::{SIZE, plot};
use super::{Hue, Panel, undrawable};
use crate::error::Result;

/// Coordinates of a drawing in a point: fine enough for smooth curves.
const FINE: u32 = 4;
/// Pixels of a picture in a point.
const SHARP: u32 = 2;

/// A panel as an SVG element.
pub(in crate::cli) fn svg(panel: &Panel) -> Result<String> {
    let size = SIZE.map(|side| side as u32 * FINE);
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (size[0], size[1])).into_drawing_area();
    plot(panel, &Pen::new(&area, f64::from(FINE), 0.06))?;
    area.present().map_err(undrawable)?;
    drop(area);
    Ok(text)
}

/// Panels side by side under a title, as a picture of two pixels a point.
pub(in crate::cli) fn plate(title: &str, panels: &[Panel]) -> Result<RgbImage> {
    const MARGIN: u32 = 14;
    const HEAD: u32 = 44;
    let columns = match panels.len() {
        0..=3 => panels.len().max(1),
        4 => 2,
        _ => 3,
    };
    let rows = panels.len().div_ceil(columns) as u32;
    let [width, height] = SIZE.map(|side| side as u32 + MARGIN);
    let full = MARGIN + columns as u32 * width;
    let mut canvas = Canvas::new(full, HEAD + rows * height, SHARP);
    let face = Type::bold(18.0);
    let title = face.fit(title, f64::from(full - 2 * MARGIN))?;
    canvas.text(&title, [MARGIN + 6, 14], face, Hue::Ink)?;
    for (index, panel) in panels.iter().enumerate() {
        let (row, column) = ((index / columns) as u32, (index % columns) as u32);
        canvas.pixels_at(&pixels(panel)?, [MARGIN + column * width, HEAD + row * height]);
    }
    Ok(canvas.into_pixels())
}

/// A panel drawn finely and then averaged, which smooths its edges.
fn pixels(panel: &Panel) -> Result<RgbImage> {
    let [width, height] = SIZE.map(|side| side as u32);
    let mut fine = RgbImage::from_pixel(width * FINE, height * FINE, Rgb([255; 3]));
    let size = fine.dimensions();
    let area = BitMapBackend::with_buffer(&mut fine, size).into_drawing_area();
    plot(panel, &Pen::new(&area, f64::from(FINE), 0.2))?;
    area.present().map_err(undrawable)?;
    drop(area);
    Ok(imageops::thumbnail(&fine, width * SHARP, height * SHARP))
}
