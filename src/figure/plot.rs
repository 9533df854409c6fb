use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use super::pen::Pen;
use super::text::TextStyle;
use super::{Dash, Hue, Line, Mark, Marker, Panel};
use crate::error::Result;

/// Width and height of a panel in points.
pub(super) const SIZE: [f64; 2] = [360.0, 264.0];

const EDGE: f64 = 6.0;
const TITLE: TextStyle = TextStyle { size: 15.0, bold: true };
const TEXT: TextStyle = TextStyle { size: 13.8, bold: false };
const ROW: f64 = 17.5;
/// Length of a sample line in the legend.
const SAMPLE: f64 = 20.0;

/// Draws a panel in `SIZE` points.
pub(super) fn plot<B: DrawingBackend>(panel: &Panel, pen: &Pen<B>) -> Result<()> {
    let [width, height] = SIZE;
    let title = TITLE.fit(&panel.title, width - 2.0 * EDGE)?;
    pen.text(&title, [EDGE, EDGE + 7.0], HPos::Left, TITLE, Hue::Ink)?;
    let mut top = legend(panel, pen, EDGE + 27.0)?;
    let label = TEXT.fit(panel.y.label(), width - 2.0 * EDGE)?;
    pen.text(&label, [EDGE, top], HPos::Left, TEXT, Hue::Faint)?;
    top += 16.0;

    let mut widest: f64 = 0.0;
    for (_, text) in panel.y.ticks() {
        widest = widest.max(TEXT.width(text)?);
    }
    let frame = Frame {
        panel,
        left: EDGE + widest + 5.0,
        right: width - EDGE - 8.0,
        top,
        bottom: height - EDGE - 36.0,
    };
    frame.axes(pen)?;
    for (mark, _) in &panel.marks {
        frame.mark(mark, pen)?;
    }
    let base = [[frame.left, frame.bottom], [frame.right, frame.bottom]];
    pen.path(&base, Hue::Ink, 1.0, Dash::Solid)
}

/// Writes the legend from the height `y` down; returns where it ends.
fn legend<B: DrawingBackend>(panel: &Panel, pen: &Pen<B>, mut y: f64) -> Result<f64> {
    let mut x = EDGE;
    let mut empty = true;
    for (mark, name) in &panel.marks {
        let Some(name) = name else { continue };
        let name = TEXT.fit(name, SIZE[0] - 2.0 * EDGE - SAMPLE - 5.0)?;
        let long = SAMPLE + 5.0 + TEXT.width(&name)?;
        if !empty && x + long > SIZE[0] - EDGE {
            (x, y) = (EDGE, y + ROW);
        }
        sample(mark, pen, [x, y])?;
        pen.text(&name, [x + SAMPLE + 5.0, y], HPos::Left, TEXT, Hue::Ink)?;
        x += long + 12.0;
        empty = false;
    }
    Ok(if empty { y } else { y + ROW + 2.0 })
}

/// Draws a sample of a mark beside its name.
fn sample<B: DrawingBackend>(mark: &Mark, pen: &Pen<B>, [x, y]: [f64; 2]) -> Result<()> {
    let across = [[x, y], [x + SAMPLE, y]];
    let square = [[x, y - 5.0], [x + SAMPLE, y - 5.0], [x + SAMPLE, y + 5.0], [x, y + 5.0]];
    let middle = x + SAMPLE / 2.0;
    match mark {
        Mark::Band { hue, opacity, .. } => pen.polygon(&square, *hue, *opacity),
        Mark::Bars { hue, .. } => pen.polygon(&square, *hue, 1.0),
        Mark::Whiskers { hue, width, .. } => {
            pen.path(&[[middle, y - 5.0], [middle, y + 5.0]], *hue, *width, Dash::Solid)
        }
        Mark::Rule { hue, .. } => {
            pen.path(&[[middle, y - 6.0], [middle, y + 6.0]], *hue, 1.6, Dash::Short)
        }
        Mark::Line(line) => {
            if line.dash != Dash::Unjoined {
                pen.path(&across, line.hue, line.width, line.dash)?;
            }
            pen.marker(line.marker, [middle, y], line.hue)
        }
    }
}

/// The rectangle between the axes.
struct Frame<'a> {
    panel: &'a Panel,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame<'_> {
    fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    /// Where a point is; values beyond the vertical axis lie on its edge.
    fn point(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        Some([self.x(self.panel.x.place(x)?), self.y(self.panel.y.clamped(y)?)])
    }

    fn axes<B: DrawingBackend>(&self, pen: &Pen<B>) -> Result<()> {
        for (share, text) in self.panel.y.ticks() {
            let y = self.y(share);
            pen.path(&[[self.left, y], [self.right, y]], Hue::Rule, 1.0, Dash::Solid)?;
            pen.text(text, [self.left - 5.0, y], HPos::Right, TEXT, Hue::Ink)?;
        }
        let under = self.bottom + 12.0;
        let mut free = f64::NEG_INFINITY;
        for (share, text) in self.panel.x.ticks() {
            let x = self.x(share);
            let half = TEXT.width(text)? / 2.0;
            pen.path(&[[x, self.bottom], [x, self.bottom + 4.0]], Hue::Ink, 1.0, Dash::Solid)?;
            // A label that would touch its neighbour or the edge is left out.
            if x - half > free && x + half < SIZE[0] {
                pen.text(text, [x, under], HPos::Center, TEXT, Hue::Ink)?;
                free = x + half + 4.0;
            }
        }
        let middle = (self.left + self.right) / 2.0;
        pen.text(self.panel.x.label(), [middle, under + 17.0], HPos::Center, TEXT, Hue::Faint)
    }

    fn mark<B: DrawingBackend>(&self, mark: &Mark, pen: &Pen<B>) -> Result<()> {
        match mark {
            Mark::Band { points, hue, opacity } => {
                let ends = points
                    .iter()
                    .map(|[x, low, high]| Some([self.point(*x, *low)?, self.point(*x, *high)?]));
                let ends: Vec<_> = ends.collect();
                // A value that is missing leaves a gap.
                for run in ends.split(Option::is_none).filter(|run| run.len() > 1) {
                    let lower = run.iter().flatten().map(|[low, _]| *low);
                    let upper = run.iter().flatten().rev().map(|[_, high]| *high);
                    let outline: Vec<_> = lower.chain(upper).collect();
                    pen.polygon(&outline, *hue, *opacity)?;
                }
                Ok(())
            }
            Mark::Bars { bars, hue } => {
                for [left, right, value] in bars.iter().filter(|bar| bar[2] > 0.0) {
                    if let (Some(from), Some(to)) =
                        (self.point(*left, *value), self.point(*right, *value))
                    {
                        // A bar never vanishes: outliers are few in wide ranges.
                        let right = (to[0] - 0.5).max(from[0] + 1.0);
                        let top = from[1].min(self.bottom - 1.5);
                        pen.block([from[0], top], [right, self.bottom], *hue)?;
                    }
                }
                Ok(())
            }
            Mark::Whiskers { points, hue, width } => {
                for [x, low, high] in points {
                    if let (Some(from), Some(to)) = (self.point(*x, *low), self.point(*x, *high)) {
                        pen.path(&[from, to], *hue, *width, Dash::Solid)?;
                    }
                }
                Ok(())
            }
            Mark::Rule { x, hue } => match self.panel.x.place(*x) {
                Some(share) => {
                    let x = self.x(share);
                    pen.path(&[[x, self.bottom], [x, self.top]], *hue, 1.6, Dash::Short)
                }
                None => Ok(()),
            },
            Mark::Line(line) => self.line(line, pen),
        }
    }

    fn line<B: DrawingBackend>(&self, line: &Line, pen: &Pen<B>) -> Result<()> {
        let places: Vec<_> = line.points.iter().map(|[x, y]| self.point(*x, *y)).collect();
        if line.dash != Dash::Unjoined {
            // A value that is missing leaves a gap.
            for run in places.split(Option::is_none) {
                let run: Vec<_> = run.iter().copied().flatten().collect();
                pen.path(&run, line.hue, line.width, line.dash)?;
            }
        }
        if line.marker != Marker::None {
            for place in places.into_iter().flatten() {
                pen.marker(line.marker, place, line.hue)?;
            }
        }
        Ok(())
    }
}
