use image::{Rgb, RgbImage, imageops};
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::drawing::IntoDrawingArea;

use super::canvas::Canvas;
use super::pen::Pen;
use super::plot::{SIZE, plot};
use super::text::TextStyle;
use super::{Hue, Panel, Radar, undrawable};
use crate::error::Result;

/// Coordinates of a drawing per point, enough for smooth curves.
const FINE: u32 = 4;
/// Pixels of a picture per point.
const SHARP: u32 = 2;

impl Panel {
    /// The chart as an SVG element.
    ///
    /// # Errors
    /// [`Error::Drawing`](crate::Error::Drawing) where the font cannot be read.
    pub fn to_svg(&self) -> Result<String> {
        vectors(SIZE, |pen| plot(self, pen))
    }
}

impl Radar {
    /// The chart as an SVG element.
    ///
    /// # Errors
    /// [`Error::Drawing`](crate::Error::Drawing) where the font cannot be read or a
    /// series does not have one value per axis.
    pub fn to_svg(&self) -> Result<String> {
        vectors(self.size()?, |pen| self.draw(pen))
    }

    /// The chart as a picture at two pixels per point.
    ///
    /// # Errors
    /// As [`Radar::to_svg`].
    pub fn to_picture(&self) -> Result<RgbImage> {
        pixels(self.size()?, |pen| self.draw(pen))
    }
}

/// A drawing of a size in points as an SVG element.
fn vectors(size: [f64; 2], draw: impl FnOnce(&Pen<SVGBackend>) -> Result<()>) -> Result<String> {
    let [width, height] = size.map(|side| side as u32 * FINE);
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
    draw(&Pen::new(&area, f64::from(FINE), 0.06))?;
    area.present().map_err(undrawable)?;
    drop(area);
    Ok(text)
}

/// Panels side by side under a title, as a picture at two pixels per point.
///
/// # Errors
/// [`Error::Drawing`](crate::Error::Drawing) where the font cannot be read.
pub fn subplots(title: &str, panels: &[Panel]) -> Result<RgbImage> {
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
    let face = TextStyle::bold(18.0);
    let title = face.fit(title, f64::from(full - 2 * MARGIN))?;
    canvas.text(&title, [MARGIN + 6, 14], face, Hue::Ink)?;
    for (index, panel) in panels.iter().enumerate() {
        let (row, column) = ((index / columns) as u32, (index % columns) as u32);
        let picture = pixels(SIZE, |pen| plot(panel, pen))?;
        canvas.pixels_at(&picture, [MARGIN + column * width, HEAD + row * height]);
    }
    Ok(canvas.into_pixels())
}

/// A drawing of a size in points, drawn at a higher resolution and averaged, which
/// smooths its edges.
fn pixels(
    size: [f64; 2],
    draw: impl FnOnce(&Pen<BitMapBackend>) -> Result<()>,
) -> Result<RgbImage> {
    let [width, height] = size.map(|side| side as u32);
    let mut fine = RgbImage::from_pixel(width * FINE, height * FINE, Rgb([255; 3]));
    let size = fine.dimensions();
    let area = BitMapBackend::with_buffer(&mut fine, size).into_drawing_area();
    draw(&Pen::new(&area, f64::from(FINE), 0.2))?;
    area.present().map_err(undrawable)?;
    drop(area);
    Ok(imageops::thumbnail(&fine, width * SHARP, height * SHARP))
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Dash, Line, Mark, Marker, RadarAxis, RadarSeries};
    use super::*;

    /// Left, right and middle height of each text of a panel's SVG.
    fn texts(svg: &str) -> Vec<(String, [f64; 3])> {
        let attribute = |tag: &str, name: &str| -> String {
            let start = tag.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
            tag[start..].split('"').next().unwrap().to_owned()
        };
        let parts = svg.split("<text").skip(1).map(|part| part.split_once('>').unwrap());
        parts
            .map(|(tag, rest)| {
                let number = |name: &str| attribute(tag, name).parse::<f64>().unwrap();
                let text = rest.split("</text>").next().unwrap().trim().to_owned();
                let bold = tag.contains("bold");
                let width =
                    TextStyle { size: number("font-size") * 1.24, bold }.width(&text).unwrap();
                let left = match attribute(tag, "text-anchor").as_str() {
                    "start" => number("x"),
                    "end" => number("x") - width,
                    _ => number("x") - width / 2.0,
                };
                (text, [left, left + width, number("y")])
            })
            .collect()
    }

    #[test]
    fn no_label_is_cut_off_or_touches_another() {
        let axes = [
            (Axis::integers("block", 0, 39), Axis::log("1 − cosine", 1e-7, 2.0)),
            (Axis::integers("index", 1, 1024), Axis::log("value", 2.9, 3.1)),
            (Axis::from_zero("norm", 98_765.0, ""), Axis::from_zero("share", 0.3, " %")),
            (Axis::integers("block", 7, 7), Axis::log("patches", 0.8, 3e9)),
            (Axis::from_zero("norm", 0.0, ""), Axis::from_zero("norm", 1.2e7, "")),
        ];
        for (number, (x, y)) in axes.into_iter().enumerate() {
            let series = |name: &str| {
                let line = Line {
                    points: vec![[1.0, 1.0], [2.0, f64::NAN]],
                    hue: Hue::Blue,
                    width: 2.0,
                    dash: Dash::Long,
                    marker: Marker::Disc,
                };
                (Mark::Line(line), Some(name.to_owned()))
            };
            let names = ["refined teacher", "training-free", &"endless ".repeat(12), "masked"];
            let marks = names.map(series).into();
            let panel = Panel { title: "a title that does not end ".repeat(4), x, y, marks };
            let texts = texts(&panel.to_svg().unwrap());
            assert!(texts.len() > 8);
            let right = SIZE[0] * f64::from(FINE);
            for (index, (text, [from, to, y])) in texts.iter().enumerate() {
                assert!(*from >= 0.0 && *to <= right, "{number}: {text} from {from} to {to}");
                for (other, [left, end, height]) in &texts[..index] {
                    let apart = to <= left || end <= from || (y - height).abs() > 40.0;
                    assert!(apart, "{number}: {text} touches {other}");
                }
            }
        }
    }

    #[test]
    fn no_label_of_a_radar_chart_is_cut_off_or_touches_another() {
        for count in [3, 5, 8] {
            let axis = |index: usize| RadarAxis {
                label: format!("data set {index}, top-1 accuracy of a linear head (%)"),
                range: "12.3 to 45.6".into(),
                worst: 12.3,
                best: 45.6,
            };
            let series = |name: &str| RadarSeries {
                name: name.repeat(3),
                values: vec![30.0; count],
                hue: Hue::Blue,
                dash: Dash::Solid,
            };
            let names = ["SiNGER", "FitNet", "no distillation", "logits", "teacher"];
            let radar =
                Radar { axes: (0..count).map(axis).collect(), series: names.map(series).into() };
            let texts = texts(&radar.to_svg().unwrap());
            let right = radar.size().unwrap()[0] * f64::from(FINE);
            assert_eq!(texts.len(), 2 * count + names.len());
            for (index, (text, [from, to, y])) in texts.iter().enumerate() {
                assert!(*from >= 0.0 && *to <= right, "{count}: {text} from {from} to {to}");
                for (other, [left, end, height]) in &texts[..index] {
                    let apart = to <= left || end <= from || (y - height).abs() > 40.0;
                    assert!(apart, "{count}: {text} touches {other}");
                }
            }
        }
    }
}
