use super::{Axis, Hue};

/// A chart: two axes and what is drawn between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Its title, shortened where it is too long.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis. Values beyond its ends are drawn on its ends.
    pub y: Axis,
    /// From back to front, each with its name in the legend.
    pub marks: Vec<(Mark, Option<String>)>,
}

/// Something drawn in a panel, in the axes' values. Points that are not finite
/// are left out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Mark {
    /// The area between two curves.
    Band {
        /// `[x, low, high]`, in ascending order of `x`.
        points: Vec<[f64; 3]>,
        /// Its colour.
        hue: Hue,
        /// 0 to 1.
        opacity: f64,
    },
    /// A series.
    Line(Line),
    /// Bars that stand on the horizontal axis.
    Bars {
        /// `[left, right, value]`.
        bars: Vec<[f64; 3]>,
        /// Their colour.
        hue: Hue,
    },
    /// Vertical lines.
    Whiskers {
        /// `[x, low, high]`.
        points: Vec<[f64; 3]>,
        /// Their colour.
        hue: Hue,
        /// In points.
        width: f64,
    },
    /// A dashed line from bottom to top.
    Rule {
        /// Its place on the horizontal axis.
        x: f64,
        /// Its colour.
        hue: Hue,
    },
}

/// A series of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `[x, y]`, in the order in which they are joined.
    pub points: Vec<[f64; 2]>,
    /// Its colour.
    pub hue: Hue,
    /// In points.
    pub width: f64,
    /// How the points are joined.
    pub dash: Dash,
    /// What stands at each of them.
    pub marker: Marker,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dash {
    /// Not at all.
    Unjoined,
    /// By a solid line.
    Solid,
    /// By long dashes.
    Long,
    /// By short dashes.
    Short,
}

impl Dash {
    /// Lengths drawn and left out, in points.
    pub(super) fn pattern(self) -> Option<[f64; 2]> {
        match self {
            Self::Unjoined | Self::Solid => None,
            Self::Long => Some([6.0, 3.5]),
            Self::Short => Some([2.0, 2.5]),
        }
    }
}

/// What stands at each point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Marker {
    /// Nothing.
    None,
    /// A filled circle.
    Disc,
    /// A filled square.
    Square,
    /// A filled square on its corner.
    Diamond,
    /// A filled triangle.
    Triangle,
}

impl Marker {
    /// Its corners around the origin, for a radius of 1; empty for a disc.
    pub(super) fn corners(self) -> &'static [[f64; 2]] {
        match self {
            Self::None | Self::Disc => &[],
            Self::Square => &[[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
            Self::Diamond => &[[0.0, -1.25], [1.25, 0.0], [0.0, 1.25], [-1.25, 0.0]],
            Self::Triangle => &[[0.0, -1.2], [1.1, 0.85], [-1.1, 0.85]],
        }
    }
}
