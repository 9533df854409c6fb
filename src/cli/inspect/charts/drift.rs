use super::{Chart, positive_extent};
use crate::cli::figure::{Axis, Line, Mark, Panel};
use crate::cli::inspect::subject::Look;
use crate::inspect::{BlockDrift, Findings, Injection};

/// A cosine of f32 numbers is not exact below this.
const ROUNDING: f64 = 1e-7;

/// How far the teacher moves when one layer's features are replaced.
pub(super) fn drift(findings: &Findings) -> Vec<Chart> {
    let one_minus = |cosine: f32| 1.0 - f64::from(cosine);
    vec![
        Chart {
            file: "injection-class-drift",
            title: "Drift of the class token",
            reading: "One minus the cosine between the class token of the changed and of the unchanged \
                teacher after each block, on a logarithmic axis: lower is closer. At the layer itself \
                it is zero, as only patches are replaced; values under 10⁻⁷ are rounding and lie on \
                the lower edge.",
            panels: panels(findings, "1 − cosine (logarithmic)", |block| {
                one_minus(block.class_cosine)
            }),
        },
        Chart {
            file: "injection-patch-drift",
            title: "Drift of the patch tokens",
            reading: "The same, averaged over patch tokens. The first point is the replacement itself.",
            panels: panels(findings, "1 − cosine (logarithmic)", |block| {
                one_minus(block.patch_cosine)
            }),
        },
        Chart {
            file: "injection-relative-change",
            title: "Size of the change of the patch tokens",
            reading: "Norm of the change over the norm of the unchanged patch token. Unlike the cosine \
                it also counts changes of length, which are what the refinement is for.",
            panels: panels(findings, "relative change (logarithmic)", |block| {
                f64::from(block.relative_change)
            }),
        },
    ]
}

/// A panel for each layer at which features were replaced, on one scale.
fn panels(findings: &Findings, label: &str, value: impl Fn(&BlockDrift) -> f64) -> Vec<Panel> {
    let mut layers: Vec<usize> = findings.injections.iter().map(|one| one.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let blocks = findings.injections.iter().flat_map(|one| &one.blocks);
    let values = blocks.map(&value).filter(|value| *value >= ROUNDING);
    let [low, high] = positive_extent(values).unwrap_or([ROUNDING, 1.0]);
    let panel = |layer: usize| {
        let of_layer = || findings.injections.iter().filter(move |one| one.layer == layer);
        let indices = || of_layer().flat_map(|one| &one.blocks).map(|block| block.block);
        let series = |one: &Injection| {
            let look = Look::of(&one.method);
            let points = one.blocks.iter().map(|block| [block.block as f64, value(block)]);
            let (dash, marker) = (look.dash, look.marker);
            let line = Line { points: points.collect(), hue: look.hue, width: 2.0, dash, marker };
            (Mark::Line(line), Some(one.method.clone()))
        };
        Panel {
            title: format!("replaced after layer {layer}"),
            x: Axis::counting(
                "block",
                indices().min().unwrap_or(layer),
                indices().max().unwrap_or(layer),
            ),
            y: Axis::log(label, low, high),
            marks: of_layer().map(series).collect(),
        }
    };
    layers.into_iter().map(panel).collect()
}
