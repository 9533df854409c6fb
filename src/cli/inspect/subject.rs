use crate::cli::figure::{Dash, Hue, Marker};

pub(super) const TEACHER: &str = "teacher";
pub(super) const REFINED: &str = "refined teacher";
pub(super) const TRAINING_FREE: &str = "training-free";
pub(super) const STUDENT: &str = "student";

/// How a subject or a method looks in every chart. Dash and marker differ as
/// well as the colour, for print without colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) hue: Hue,
    pub(super) dash: Dash,
    pub(super) marker: Marker,
}

impl Look {
    pub(super) fn of(subject: &str) -> Self {
        let (hue, dash, marker) = match subject {
            TEACHER => (Hue::Blue, Dash::Solid, Marker::Disc),
            REFINED => (Hue::Vermilion, Dash::Solid, Marker::Square),
            TRAINING_FREE => (Hue::Purple, Dash::Solid, Marker::Diamond),
            STUDENT => (Hue::Green, Dash::Solid, Marker::Disc),
            "clipped" => (Hue::Sky, Dash::Long, Marker::Triangle),
            _ => (Hue::Grey, Dash::Short, Marker::Disc),
        };
        Self { hue, dash, marker }
    }
}
