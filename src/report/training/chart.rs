use super::{TrainingRun, distinct};
use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel};

/// Of the runs, in turn.
const LOOKS: [(Hue, Dash); 6] = [
    (Hue::Blue, Dash::Solid),
    (Hue::Vermilion, Dash::Solid),
    (Hue::Green, Dash::Solid),
    (Hue::Purple, Dash::Long),
    (Hue::Sky, Dash::Long),
    (Hue::Grey, Dash::Short),
];
/// More points than this in a curve are means of neighbours.
const POINTS: usize = 500;
/// Curves that span this much are drawn on a logarithmic axis.
const WIDE: f64 = 20.0;

/// A panel for the loss, each of its terms, the learning rate and the speed; a line for each run.
pub(super) fn panels(runs: &[TrainingRun]) -> Vec<Panel> {
    let names = distinct(runs.iter().flat_map(TrainingRun::terms));
    let curves = |name: &str| runs.iter().map(|run| run.curve(name)).collect();
    let mut panels: Vec<Panel> =
        names.iter().filter_map(|name| panel(runs, name, curves(name))).collect();
    let rates = runs
        .iter()
        .map(|run| run.records.iter().map(|record| [record.step as f64, record.lr]).collect());
    panels.extend(panel(runs, "learning rate", rates.collect()));
    let speeds = runs.iter().map(|run| {
        run.pace.iter().map(|pace| [pace.step as f64, pace.images_per_second]).collect()
    });
    panels.extend(panel(runs, "images/s", speeds.collect()));
    panels
}

fn panel(runs: &[TrainingRun], name: &str, curves: Vec<Vec<[f64; 2]>>) -> Option<Panel> {
    let values =
        || curves.iter().flatten().map(|[_, value]| *value).filter(|value| value.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let last = curves.iter().flatten().map(|[step, _]| *step).fold(0.0, f64::max);
    if last == 0.0 {
        return None;
    }
    let y = match low > 0.0 && high / low > WIDE && !matches!(name, "learning rate" | "images/s") {
        true => Axis::log("logarithmic", low, high),
        false => Axis::from_zero("", high, ""),
    };
    let marks = curves.into_iter().enumerate().map(|(index, points)| {
        let (hue, dash) = LOOKS[index % LOOKS.len()];
        let line = Line { points: thinned(points), hue, width: 1.6, dash, marker: Marker::None };
        (Mark::Line(line), (runs.len() > 1).then(|| runs[index].name.clone()))
    });
    let x = Axis::integers("step", 0, last as usize);
    Some(Panel { title: name.to_owned(), x, y, marks: marks.collect() })
}

fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let group = points.len().div_ceil(POINTS).max(1);
    let mean = |part: &[[f64; 2]], of: usize| {
        part.iter().map(|point| point[of]).sum::<f64>() / part.len() as f64
    };
    points.chunks(group).map(|part| [mean(part, 0), mean(part, 1)]).collect()
}
