use super::{Chart, positive_extent};
use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel};
use crate::inspect::{Findings, Spectrum};

/// Values this far below the largest are rounding, and drawn at the floor.
const FLOOR: f64 = 1e-12;

/// Singular values of the linearised blocks.
pub(super) fn spectra(findings: &Findings) -> Chart {
    Chart {
        file: "spectra",
        title: "Singular values of the next block",
        reading: "Singular values of the linearised MLP that reads each layer, from the largest to the \
            smallest. The refinement's basis is spanned by the smallest ones, drawn in orange. They \
            are small, not zero: what is written along them is read weakly.",
        panels: findings.spectra.iter().filter(|one| !one.values.is_empty()).map(panel).collect(),
    }
}

fn panel(spectrum: &Spectrum) -> Panel {
    let count = spectrum.values.len();
    let read = count.saturating_sub(spectrum.rank);
    let [low, high] = positive_extent(spectrum.values.iter().copied()).unwrap_or([1.0, 1.0]);
    let point = |(index, value): (usize, &f64)| [(index + 1) as f64, *value];
    let points: Vec<[f64; 2]> = spectrum.values.iter().enumerate().map(point).collect();
    // One point of overlap joins the two parts.
    let basis = points[read.saturating_sub(1).min(count)..].to_vec();
    let line = |points: &[[f64; 2]], hue: Hue, width: f64| {
        let marker = if count <= 24 { Marker::Disc } else { Marker::None };
        Mark::Line(Line { points: points.to_vec(), hue, width, dash: Dash::Solid, marker })
    };
    let mut marks = vec![(line(&points[..read], Hue::Blue, 2.2), Some("read".to_owned()))];
    if spectrum.rank > 0 {
        let left = [[read as f64 + 0.5, 0.0, high * 2.0], [count as f64 + 0.5, 0.0, high * 2.0]];
        marks.insert(
            0,
            (Mark::Band { points: left.to_vec(), hue: Hue::Vermilion, opacity: 0.14 }, None),
        );
        let name = format!("basis: the {} smallest", spectrum.rank.min(count));
        marks.push((line(&basis, Hue::Vermilion, 3.0), Some(name)));
    }
    Panel {
        title: format!("layer {}, read by block {}", spectrum.layer, spectrum.block),
        x: Axis::integers("index", 1, count.max(1)),
        y: Axis::log("singular value (logarithmic)", low.max(high * FLOOR), high),
        marks,
    }
}
