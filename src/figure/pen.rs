use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle};

use super::text::TextStyle;
use super::{Dash, Hue, Marker, undrawable};
use crate::error::Result;

/// Draws in points on a backend of plotters, which takes integer coordinates: `scale`
/// of them per point.
pub(super) struct Pen<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    scale: f64,
    /// How far below its place the backend must put text to centre it, in text heights.
    sink: f64,
}

impl<'a, B: DrawingBackend> Pen<'a, B> {
    pub(super) fn new(area: &'a DrawingArea<B, Shift>, scale: f64, sink: f64) -> Self {
        Self { area, scale, sink }
    }

    fn at(&self, [x, y]: [f64; 2]) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn stroke(&self, hue: Hue, width: f64) -> ShapeStyle {
        let width = (width * self.scale).round().max(1.0) as u32;
        hue.colour().stroke_width(width)
    }

    /// One line of text, vertically centred at `at`.
    pub(super) fn text(
        &self,
        text: &str,
        [x, y]: [f64; 2],
        align: HPos,
        face: TextStyle,
        hue: Hue,
    ) -> Result<()> {
        let font = TextStyle { size: face.size * self.scale, ..face }.font()?;
        let style = font.color(&hue.colour()).pos(Pos::new(align, VPos::Center));
        let at = self.at([x, y + self.sink * face.size]);
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(undrawable)
    }

    /// A line through points, dashed or not.
    pub(super) fn path(&self, points: &[[f64; 2]], hue: Hue, width: f64, dash: Dash) -> Result<()> {
        let pieces = match dash.pattern() {
            None => vec![points.to_vec()],
            Some(pattern) => dashes(points, pattern),
        };
        for piece in pieces.into_iter().filter(|piece| piece.len() > 1) {
            let points: Vec<_> = piece.into_iter().map(|point| self.at(point)).collect();
            let path = PathElement::new(points, self.stroke(hue, width));
            self.area.draw(&path).map_err(undrawable)?;
        }
        Ok(())
    }

    pub(super) fn polygon(&self, points: &[[f64; 2]], hue: Hue, opacity: f64) -> Result<()> {
        let points: Vec<_> = points.iter().map(|point| self.at(*point)).collect();
        let colour = hue.colour().mix(opacity);
        self.area.draw(&Polygon::new(points, colour.filled())).map_err(undrawable)
    }

    pub(super) fn block(&self, corner: [f64; 2], opposite: [f64; 2], hue: Hue) -> Result<()> {
        let corners = [self.at(corner), self.at(opposite)];
        self.area.draw(&Rectangle::new(corners, hue.colour().filled())).map_err(undrawable)
    }

    pub(super) fn marker(&self, marker: Marker, [x, y]: [f64; 2], hue: Hue) -> Result<()> {
        const RADIUS: f64 = 3.2;
        match marker {
            Marker::None => Ok(()),
            Marker::Disc => {
                let radius = (RADIUS * self.scale) as i32;
                let disc = Circle::new(self.at([x, y]), radius, hue.colour().filled());
                self.area.draw(&disc).map_err(undrawable)
            }
            Marker::Square | Marker::Diamond | Marker::Triangle => {
                let corner = |[dx, dy]: &[f64; 2]| [x + dx * RADIUS, y + dy * RADIUS];
                let corners: Vec<_> = marker.corners().iter().map(corner).collect();
                self.polygon(&corners, hue, 1.0)
            }
        }
    }
}

/// Cuts a line into dashes of `on` with gaps of `off` along its length.
fn dashes(points: &[[f64; 2]], [on, off]: [f64; 2]) -> Vec<Vec<[f64; 2]>> {
    let mut pieces = vec![points.first().copied().into_iter().collect::<Vec<_>>()];
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let ([x, y], [to_x, to_y]) = (pair[0], pair[1]);
        let length = (to_x - x).hypot(to_y - y);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let share = done / length;
            let point = [x + (to_x - x) * share, y + (to_y - y) * share];
            if drawing {
                if let Some(piece) = pieces.last_mut() {
                    piece.push(point);
                }
            } else {
                pieces.push(vec![point]);
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= length - done;
        if drawing && let Some(piece) = pieces.last_mut() {
            piece.push(pair[1]);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_the_line_around_corners() {
        let pieces = dashes(&[[0.0, 0.0], [25.0, 0.0], [25.0, 25.0]], [6.0, 4.0]);
        assert_eq!(pieces.len(), 5);
        let length = |piece: &Vec<[f64; 2]>| -> f64 {
            piece
                .windows(2)
                .map(|pair| (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]))
                .sum()
        };
        assert!((pieces.iter().map(length).sum::<f64>() - 30.0).abs() < 1e-9);
        assert_eq!(pieces[2], [[20.0, 0.0], [25.0, 0.0], [25.0, 1.0]]);
    }
}
