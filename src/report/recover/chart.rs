use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel};
use crate::recover::{Findings, Spread, Summary, Treatment};

/// Distances under this lie on the lower edge.
const LEAST: f64 = 1e-4;

/// A panel for each kind, placement and strength: the mean distance of all patches after each
/// block, for features treated in the planted block.
pub fn panels(findings: &Findings) -> Vec<Panel> {
    let block = findings.settings.block;
    let summaries = findings.summaries();
    let drawn: Vec<&Summary> = summaries
        .iter()
        .filter(|one| one.layer.is_none_or(|layer| layer == block) && one.block >= block)
        .filter(|one| one.artifacts.is_some())
        .collect();
    let distance = |one: &Summary| one.all.map_or(LEAST, |Spread { mean, .. }| mean.max(LEAST));
    let values = || drawn.iter().map(|one| distance(one));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let last = drawn.iter().map(|one| one.block).max().unwrap_or(block);
    let panel = |name: &str| {
        let line = |treatment: Treatment| {
            let of = drawn.iter().filter(|one| one.name == name && one.treatment == treatment);
            let points: Vec<[f64; 2]> = of.map(|one| [one.block as f64, distance(one)]).collect();
            let (hue, dash, marker) = look(treatment);
            let line = Line { points, hue, width: 2.0, dash, marker };
            (Mark::Line(line), Some(treatment.name().to_owned()))
        };
        let asked = |&one: &Treatment| drawn.iter().any(|drawn| drawn.treatment == one);
        Panel {
            title: name.to_owned(),
            x: Axis::integers("block", block, last),
            y: Axis::log("mean distance, all patches (logarithmic)", low, high),
            marks: Treatment::ALL.into_iter().filter(asked).map(line).collect(),
        }
    };
    let mut names: Vec<&str> = drawn.iter().map(|one| one.name.as_str()).collect();
    names.dedup();
    names.into_iter().map(panel).collect()
}

fn look(treatment: Treatment) -> (Hue, Dash, Marker) {
    match treatment {
        Treatment::Raw => (Hue::Ink, Dash::Solid, Marker::None),
        Treatment::ClosedForm => (Hue::Blue, Dash::Solid, Marker::Disc),
        Treatment::Published => (Hue::Vermilion, Dash::Solid, Marker::Square),
        Treatment::Trained => (Hue::Vermilion, Dash::Long, Marker::Diamond),
        Treatment::TrainingFree => (Hue::Purple, Dash::Solid, Marker::Diamond),
        Treatment::Clipped => (Hue::Sky, Dash::Long, Marker::Triangle),
        Treatment::ReplacedByMean => (Hue::Grey, Dash::Short, Marker::Disc),
        Treatment::Neighbours => (Hue::Green, Dash::Solid, Marker::Triangle),
        Treatment::Registers => (Hue::Green, Dash::Long, Marker::Square),
        Treatment::Averaged => (Hue::Grey, Dash::Long, Marker::Diamond),
    }
}
