//! The charts of a report, from its findings.

mod drift;
mod norms;
mod spectra;

use crate::figure::Panel;
use crate::inspect::Findings;

/// A chart of one or more panels.
pub(super) struct Chart {
    /// Its file's name, without an ending.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    /// How to read it.
    pub(super) reading: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// Which part of the report a chart belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Norms,
    Spectra,
    Injection,
}

/// The charts of one part; those without data are left out.
pub(super) fn charts(findings: &Findings, part: Part) -> Vec<Chart> {
    let charts = match part {
        Part::Norms => {
            vec![
                norms::by_depth(findings),
                norms::outlier_share(findings),
                norms::histograms(findings),
            ]
        }
        Part::Spectra => vec![spectra::spectra(findings)],
        Part::Injection => drift::drift(findings),
    };
    charts.into_iter().filter(|chart| !chart.panels.is_empty()).collect()
}

/// The least and the largest positive finite value.
fn positive_extent(values: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    values.into_iter().filter(|value| value.is_finite() && *value > 0.0).fold(
        None,
        |range, value| {
            let [low, high] = range.unwrap_or([value, value]);
            Some([value.min(low), value.max(high)])
        },
    )
}
