use super::{Chart, positive_extent};
use crate::figure::{Axis, Line, Mark, Panel};
use crate::inspect::{BlockDrift, Findings, Injection};
use crate::report::inspect::look::Look;

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
                teacher after each later block, on a logarithmic axis: lower is closer. The layer itself \
                is not shown, as only its patches are replaced, and so the last layer has no panel. \
                Values under 10⁻⁷ are rounding and lie on the lower edge.",
            panels: panels(findings, "1 − cosine (logarithmic)", |layer, block| {
                (block.block != layer).then(|| one_minus(block.class_cosine))
            }),
        },
        Chart {
            file: "injection-patch-drift",
            title: "Drift of the patch tokens",
            reading: "The same, averaged over patch tokens. The first point is the replacement itself.",
            panels: panels(findings, "1 − cosine (logarithmic)", |_, block| {
                Some(one_minus(block.patch_cosine))
            }),
        },
        Chart {
            file: "injection-relative-change",
            title: "Size of the change of the patch tokens",
            reading: "Norm of the change over the norm of the unchanged patch token. Unlike the cosine \
                it also counts changes of length, which are what the refinement is for.",
            panels: panels(findings, "relative change (logarithmic)", |_, block| {
                Some(f64::from(block.relative_change))
            }),
        },
    ]
}

/// One series of one panel.
struct Series<'a> {
    method: &'a str,
    layer: usize,
    points: Vec<[f64; 2]>,
}

/// A panel for each layer at which features were replaced, on one scale. `value`
/// takes the layer and the drift after a block.
fn panels(
    findings: &Findings,
    label: &str,
    value: impl Fn(usize, &BlockDrift) -> Option<f64>,
) -> Vec<Panel> {
    let series = |one: &'_ Injection| -> Vec<[f64; 2]> {
        let point = |block: &BlockDrift| Some([block.block as f64, value(one.layer, block)?]);
        one.blocks.iter().filter_map(point).collect()
    };
    let series: Vec<Series> = findings
        .injections
        .iter()
        .map(|one| Series { method: &one.method, layer: one.layer, points: series(one) })
        .filter(|series| !series.points.is_empty())
        .collect();
    let values = series.iter().flat_map(|series| &series.points).map(|[_, value]| *value);
    let extent = positive_extent(values.filter(|value| *value >= ROUNDING));
    let [low, high] = extent.unwrap_or([ROUNDING, 1.0]);
    let mut layers: Vec<usize> = series.iter().map(|series| series.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let panel = |layer: usize| {
        let of_layer = || series.iter().filter(move |series| series.layer == layer);
        let blocks = of_layer().flat_map(|series| &series.points).map(|[block, _]| *block as usize);
        let [first, last] =
            blocks.fold([usize::MAX, 0], |[a, b], block| [a.min(block), b.max(block)]);
        let line = |series: &Series| {
            let Look { hue, dash, marker } = Look::of(series.method);
            let points = series.points.clone();
            let line = Line { points, hue, width: 2.0, dash, marker };
            (Mark::Line(line), Some(series.method.to_owned()))
        };
        Panel {
            title: format!("replaced after layer {layer}"),
            x: Axis::integers("block", first, last),
            y: Axis::log(label, low, high),
            marks: of_layer().map(line).collect(),
        }
    };
    layers.into_iter().map(panel).collect()
}
