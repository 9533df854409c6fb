use super::{Axis, Hue};

/// A chart: two axes and what is drawn between them.
pub(in crate::cli) struct Panel {
    pub(in crate::cli) title: String,
    pub(in crate::cli) x: Axis,
    pub(in crate::cli) y: Axis,
    /// From back to front; those with a name appear in the legend.
    pub(in crate::cli) marks: Vec<(Mark, Option<String>)>,
}

/// Something drawn in a panel. Points that are not finite are left out.
pub(in crate::cli) enum Mark {
    /// Between two values at each place: `[x, low, high]`.
    Band { points: Vec<[f64; 3]>, hue: Hue, opacity: f64 },
    /// A series.
    Line(Line),
    /// From the axis up: `[left, right, value]`.
    Bars { bars: Vec<[f64; 3]>, hue: Hue },
    /// Upright lines `[x, low, high]`.
    Whiskers { points: Vec<[f64; 3]>, hue: Hue, width: f64 },
    /// A dashed line from bottom to top.
    Rule { x: f64, hue: Hue },
}

/// A series of points.
pub(in crate::cli) struct Line {
    pub(in crate::cli) points: Vec<[f64; 2]>,
    pub(in crate::cli) hue: Hue,
    pub(in crate::cli) width: f64,
    pub(in crate::cli) dash: Dash,
    pub(in crate::cli) marker: Marker,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Dash {
    /// Not at all.
    Unjoined,
    Solid,
    Long,
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
pub(in crate::cli) enum Marker {
    None,
    Disc,
    Square,
    Diamond,
    Triangle,
}

impl Marker {
    /// Its corners around the origin, for a radius of 1; none for a disc.
    pub(super) fn corners(self) -> &'static [[f64; 2]] {
        match self {
            Self::None | Self::Disc => &[],
            Self::Square => &[[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
            Self::Diamond => &[[0.0, -1.25], [1.25, 0.0], [0.0, 1.25], [-1.25, 0.0]],
            Self::Triangle => &[[0.0, -1.2], [1.1, 0.85], [-1.1, 0.85]],
        }
    }
}
