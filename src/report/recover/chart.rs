use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel};
use crate::recover::{Case, Findings, Recovery, Treatment};

/// Distances under this lie on the lower edge.
const LEAST: f64 = 1e-4;

/// A panel for each case: the distance of artifact patches after each block, for
/// features treated in the planted block.
pub fn panels(findings: &Findings) -> Vec<Panel> {
    let block = findings.settings.block;
    let of_block = |case: &'_ Case| -> Vec<Recovery> {
        case.recoveries.iter().filter(|one| one.layer == block).cloned().collect()
    };
    let all: Vec<Recovery> = findings.cases.iter().flat_map(of_block).collect();
    let values = || all.iter().map(|one| one.artifacts.distance.max(LEAST));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let last = all.iter().map(|one| one.block).max().unwrap_or(block);
    let panel = |case: &Case| {
        let found = of_block(case);
        let line = |treatment: Treatment| {
            let points = found.iter().filter(|one| one.treatment == treatment);
            let points = points.map(|one| [one.block as f64, one.artifacts.distance.max(LEAST)]);
            let (hue, dash, marker) = look(treatment);
            let line = Line { points: points.collect(), hue, width: 2.0, dash, marker };
            (Mark::Line(line), Some(treatment.name().to_owned()))
        };
        Panel {
            title: case.name(),
            x: Axis::integers("block", block, last),
            y: Axis::log("relative distance (logarithmic)", low, high),
            marks: Treatment::ALL.into_iter().map(line).collect(),
        }
    };
    findings.cases.iter().filter(|case| !of_block(case).is_empty()).map(panel).collect()
}

fn look(treatment: Treatment) -> (Hue, Dash, Marker) {
    match treatment {
        Treatment::Raw => (Hue::Ink, Dash::Solid, Marker::None),
        Treatment::Refined => (Hue::Vermilion, Dash::Solid, Marker::Square),
        Treatment::TrainingFree => (Hue::Purple, Dash::Solid, Marker::Diamond),
        Treatment::Clipped => (Hue::Sky, Dash::Long, Marker::Triangle),
        Treatment::ReplacedByMean => (Hue::Grey, Dash::Short, Marker::Disc),
    }
}
