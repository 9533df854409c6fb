use std::f64::consts::TAU;

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use super::layout::Type;
use super::pen::Pen;
use super::{Dash, Hue, Marker};
use crate::error::Result;

/// A radar chart.
pub(in crate::cli) struct Radar {
    /// From the top, clockwise.
    pub(in crate::cli) spokes: Vec<Spoke>,
    pub(in crate::cli) webs: Vec<Web>,
}

/// One axis, from the inner ring to the outer.
pub(in crate::cli) struct Spoke {
    pub(in crate::cli) label: String,
    /// What stands under the label.
    pub(in crate::cli) range: String,
    pub(in crate::cli) worst: f64,
    pub(in crate::cli) best: f64,
}

/// A closed line with a value for each axis.
pub(in crate::cli) struct Web {
    pub(in crate::cli) name: String,
    pub(in crate::cli) values: Vec<f64>,
    pub(in crate::cli) hue: Hue,
    pub(in crate::cli) dash: Dash,
}

/// A line's place in the legend.
struct Named<'a> {
    web: &'a Web,
    name: String,
    x: f64,
}

const WIDTH: f64 = 620.0;
const EDGE: f64 = 8.0;
const RADIUS: f64 = 160.0;
/// The inner ring's share of the radius.
const INNER: f64 = 0.25;
const TEXT: Type = Type { size: 14.0, bold: false };
const SMALL: Type = Type { size: 12.0, bold: false };
const ROW: f64 = 19.0;
const SAMPLE: f64 = 24.0;

impl Radar {
    /// Width and height in points.
    pub(super) fn size(&self) -> Result<[f64; 2]> {
        Ok([WIDTH, self.legend_rows()?.len() as f64 * ROW + 2.0 * RADIUS + 110.0])
    }

    pub(super) fn draw<B: DrawingBackend>(&self, pen: &Pen<B>) -> Result<()> {
        let rows = self.legend_rows()?;
        for (row, webs) in rows.iter().enumerate() {
            let y = EDGE + (row as f64 + 0.5) * ROW;
            for Named { web, name, x } in webs {
                pen.path(&[[*x, y], [x + SAMPLE, y]], web.hue, 2.5, web.dash)?;
                pen.text(name, [x + SAMPLE + 5.0, y], HPos::Left, TEXT, Hue::Ink)?;
            }
        }
        let centre = [WIDTH / 2.0, rows.len() as f64 * ROW + RADIUS + 56.0];
        for share in [INNER, (1.0 + INNER) / 2.0, 1.0] {
            let ring = |index: usize| self.point(centre, index, share);
            let ring: Vec<_> = (0..=self.spokes.len()).map(ring).collect();
            pen.path(&ring, Hue::Rule, 1.0, Dash::Solid)?;
        }
        for (index, spoke) in self.spokes.iter().enumerate() {
            let rim = self.point(centre, index, 1.0);
            pen.path(&[centre, rim], Hue::Rule, 1.0, Dash::Solid)?;
            self.label(pen, spoke, self.point(centre, index, 1.07), centre)?;
        }
        for web in &self.webs {
            let corner = |index: usize| {
                let (spoke, value) = (&self.spokes[index], web.values[index]);
                let range = spoke.best - spoke.worst;
                let share = if range == 0.0 { 1.0 } else { (value - spoke.worst) / range };
                self.point(centre, index, INNER + (1.0 - INNER) * share)
            };
            let mut corners: Vec<_> = (0..self.spokes.len()).map(corner).collect();
            for corner in &corners {
                pen.marker(Marker::Disc, *corner, web.hue)?;
            }
            corners.extend(corners.first().copied());
            pen.path(&corners, web.hue, 2.0, web.dash)?;
        }
        Ok(())
    }

    fn point(&self, [x, y]: [f64; 2], index: usize, share: f64) -> [f64; 2] {
        let (sine, cosine) = (TAU * index as f64 / self.spokes.len() as f64).sin_cos();
        [x + RADIUS * share * sine, y - RADIUS * share * cosine]
    }

    /// Writes an axis' name and range beside its end, away from the centre.
    fn label<B: DrawingBackend>(
        &self,
        pen: &Pen<B>,
        spoke: &Spoke,
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
        let label = TEXT.fit(&spoke.label, room)?;
        pen.text(&label, [x, y + shift - 7.0], align, TEXT, Hue::Ink)?;
        let range = SMALL.fit(&spoke.range, room)?;
        pen.text(&range, [x, y + shift + 8.0], align, SMALL, Hue::Faint)
    }

    /// The legend, row by row.
    fn legend_rows(&self) -> Result<Vec<Vec<Named<'_>>>> {
        let mut rows = vec![Vec::new()];
        let mut x = EDGE;
        for web in &self.webs {
            let name = TEXT.fit(&web.name, WIDTH / 2.0)?;
            let long = SAMPLE + 5.0 + TEXT.width(&name)?;
            if x + long > WIDTH - EDGE && x > EDGE {
                rows.push(Vec::new());
                x = EDGE;
            }
            if let Some(row) = rows.last_mut() {
                row.push(Named { web, name, x });
            }
            x += long + 16.0;
        }
        Ok(rows)
    }
}
