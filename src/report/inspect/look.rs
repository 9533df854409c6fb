use crate::figure::{Dash, Hue, Marker};
use crate::inspect::{
    AVERAGED, CLIPPED, CLOSED_FORM, NEIGHBOURS, REFINED, REGISTERS, STUDENT, TEACHER, TRAINING_FREE,
};

/// How features of one kind look in every chart. Dash and marker differ as well as
/// the colour, for print without colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) hue: Hue,
    pub(super) dash: Dash,
    pub(super) marker: Marker,
}

impl Look {
    pub(super) fn of(features: &str) -> Self {
        let (hue, dash, marker) = match features {
            TEACHER => (Hue::Blue, Dash::Solid, Marker::Disc),
            REFINED => (Hue::Vermilion, Dash::Solid, Marker::Square),
            CLOSED_FORM => (Hue::Vermilion, Dash::Long, Marker::Diamond),
            NEIGHBOURS => (Hue::Purple, Dash::Long, Marker::Square),
            REGISTERS => (Hue::Sky, Dash::Solid, Marker::Disc),
            AVERAGED => (Hue::Grey, Dash::Solid, Marker::Triangle),
            TRAINING_FREE => (Hue::Purple, Dash::Solid, Marker::Diamond),
            STUDENT => (Hue::Green, Dash::Solid, Marker::Disc),
            CLIPPED => (Hue::Sky, Dash::Long, Marker::Triangle),
            _ => (Hue::Grey, Dash::Short, Marker::Disc),
        };
        Self { hue, dash, marker }
    }
}
