use std::f64::consts::TAU;

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use super::pen::Pen;
use super::text::TextStyle;
use super::{Dash, Hue, Marker, undrawable};
use crate::error::Result;

/// A radar chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Radar {
    /// From the top, clockwise.
    pub axes: Vec<RadarAxis>,
    /// From back to front.
    pub series: Vec<RadarSeries>,
}

/// One axis of a radar chart, from the inner ring to the outer.
#[derive(Debug, Clone, PartialEq)]
pub struct RadarAxis {
    /// Its name.
    pub label: String,
    /// A second line under the label.
    pub range: String,
    /// The value at the inner ring.
    pub worst: f64,
    /// The value at the outer ring; smaller than `worst` where less is better.
    pub best: f64,
}

/// A closed line of a radar chart.
#[derive(Debug, Clone, PartialEq)]
pub struct RadarSeries {
    /// Its name in the legend.
    pub name: String,
    /// One value per axis.
    pub values: Vec<f64>,
    /// Its colour.
    pub hue: Hue,
    /// How its points are joined.
    pub dash: Dash,
}

/// A line's place in the legend.
struct Named<'a> {
    series: &'a RadarSeries,
    name: String,
    x: f64,
}

const WIDTH: f64 = 620.0;
const EDGE: f64 = 8.0;
const RADIUS: f64 = 160.0;
/// Radius of the inner ring over that of the outer.
const INNER: f64 = 0.25;
const TEXT: TextStyle = TextStyle { size: 14.0, bold: false };
const SMALL: TextStyle = TextStyle { size: 12.0, bold: false };
const ROW: f64 = 19.0;
const SAMPLE: f64 = 24.0;

impl Radar {
    /// Width and height in points.
    pub(super) fn size(&self) -> Result<[f64; 2]> {
        Ok([WIDTH, self.legend_rows()?.len() as f64 * ROW + 2.0 * RADIUS + 110.0])
    }

    pub(super) fn draw<B: DrawingBackend>(&self, pen: &Pen<B>) -> Result<()> {
        if let Some(series) = self.series.iter().find(|one| one.values.len() != self.axes.len()) {
            return Err(undrawable(format_args!(
                "{} has {} values for {} axes",
                series.name,
                series.values.len(),
                self.axes.len()
            )));
        }
        let rows = self.legend_rows()?;
        for (row, entries) in rows.iter().enumerate() {
            let y = EDGE + (row as f64 + 0.5) * ROW;
            for Named { series, name, x } in entries {
                pen.path(&[[*x, y], [x + SAMPLE, y]], series.hue, 2.5, series.dash)?;
                pen.text(name, [x + SAMPLE + 5.0, y], HPos::Left, TEXT, Hue::Ink)?;
            }
        }
        let centre = [WIDTH / 2.0, rows.len() as f64 * ROW + RADIUS + 56.0];
        for share in [INNER, (1.0 + INNER) / 2.0, 1.0] {
            let ring = |index: usize| self.point(centre, index, share);
            let ring: Vec<_> = (0..=self.axes.len()).map(ring).collect();
            pen.path(&ring, Hue::Rule, 1.0, Dash::Solid)?;
        }
        for (index, axis) in self.axes.iter().enumerate() {
            let rim = self.point(centre, index, 1.0);
            pen.path(&[centre, rim], Hue::Rule, 1.0, Dash::Solid)?;
            self.label(pen, axis, self.point(centre, index, 1.07), centre)?;
        }
        for series in &self.series {
            let corner = |index: usize| {
                let (axis, value) = (&self.axes[index], series.values[index]);
                let range = axis.best - axis.worst;
                let share = if range == 0.0 { 1.0 } else { (value - axis.worst) / range };
                self.point(centre, index, INNER + (1.0 - INNER) * share)
            };
            let mut corners: Vec<_> = (0..self.axes.len()).map(corner).collect();
            for corner in &corners {
                pen.marker(Marker::Disc, *corner, series.hue)?;
            }
            corners.extend(corners.first().copied());
            pen.path(&corners, series.hue, 2.0, series.dash)?;
        }
        Ok(())
    }

    fn point(&self, [x, y]: [f64; 2], index: usize, share: f64) -> [f64; 2] {
        let (sine, cosine) = (TAU * index as f64 / self.axes.len() as f64).sin_cos();
        [x + RADIUS * share * sine, y - RADIUS * share * cosine]
    }

    /// Writes an axis' name and range beside its end, away from the centre.
    fn label<B: DrawingBackend>(
        &self,
        pen: &Pen<B>,
        axis: &RadarAxis,
        [x, y]: [f64; 2],
        centre: [f64; 2],
    ) -> Result<()> {
        let aside = (x - centre[0]) / RADIUS;
        let (align, room) = match aside {
            a if a > 0.2 => (HPos::Left, WIDTH - EDGE - x),
            a if a < -0.2 => (HPos::Right, x - EDGE),
            _ => (HPos::Center, WIDTH / 2.0),
        };
        // Above the rim both lines stand over the end, below it under the end.
        let shift = 9.0 * (y - centre[1]) / RADIUS;
        let label = TEXT.fit(&axis.label, room)?;
        pen.text(&label, [x, y + shift - 7.0], align, TEXT, Hue::Ink)?;
        let range = SMALL.fit(&axis.range, room)?;
        pen.text(&range, [x, y + shift + 8.0], align, SMALL, Hue::Faint)
    }

    /// The legend, row by row.
    fn legend_rows(&self) -> Result<Vec<Vec<Named<'_>>>> {
        let mut rows = vec![Vec::new()];
        let mut x = EDGE;
        for series in &self.series {
            let name = TEXT.fit(&series.name, WIDTH / 2.0)?;
            let long = SAMPLE + 5.0 + TEXT.width(&name)?;
            if x + long > WIDTH - EDGE && x > EDGE {
                rows.push(Vec::new());
                x = EDGE;
            }
            if let Some(row) = rows.last_mut() {
                row.push(Named { series, name, x });
            }
            x += long + 16.0;
        }
        Ok(rows)
    }
}
