use super::{Chart, positive_extent};
use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel};
use crate::inspect::{DepthRow, DepthSeries, Findings, Histogram, STUDENT, TEACHER};
use crate::report::inspect::look::Look;

/// Norms that span more than this factor are drawn on a logarithmic axis.
const WIDE: f64 = 20.0;
// Places in `DepthRow::quantiles`.
const P5: usize = 1;
const P25: usize = 2;
const MEDIAN: usize = 3;
const P75: usize = 4;
const P95: usize = 5;
const LARGEST: usize = 7;

/// Quantiles of patch norms after each block.
pub(super) fn by_depth(findings: &Findings) -> Chart {
    Chart {
        file: "norms-by-depth",
        title: "Patch norms by depth",
        reading: "Bands hold the middle 50 % and 90 % of all patches after each block, the solid line \
            is the median, the dotted one the largest norm. A largest norm that leaves the band marks \
            the block where artifacts arise. Refined features exist at the inspected layers only: \
            the upright stroke spans 5 % to 95 %, with the median and the largest norm on it.",
        panels: panels(findings, depth_panel),
    }
}

/// Share of outliers after each block.
pub(super) fn outlier_share(findings: &Findings) -> Chart {
    let shares = findings.depth.iter().flat_map(|series| &series.rows);
    let most = shares.map(|row| f64::from(row.outlier_share)).filter(|share| share.is_finite());
    let most = most.fold(0.01, f64::max) * 100.0;
    Chart {
        file: "outlier-share-by-depth",
        title: "Outlier share by depth",
        reading: "Share of patches whose norm exceeds three times their image's median. The panels \
            have one scale.",
        panels: panels(findings, |own, others| {
            let series = std::iter::once(own).chain(others.iter().copied());
            let marks = series.enumerate().map(|(index, series)| {
                let look = Look::of(&series.subject);
                let points = series.rows.iter().map(|row| {
                    let x = row.layer as f64 + aside(own, index);
                    [x, f64::from(row.outlier_share) * 100.0]
                });
                let line = Line {
                    points: points.collect(),
                    hue: look.hue,
                    width: 2.0,
                    dash: if series.subject == own.subject { look.dash } else { Dash::Unjoined },
                    marker: look.marker,
                };
                (Mark::Line(line), Some(series.subject.clone()))
            });
            Panel {
                title: own.subject.clone(),
                x: blocks(own),
                y: Axis::from_zero("patches above 3 × median", most, " %"),
                marks: marks.collect(),
            }
        }),
    }
}

/// A panel for the teacher with its refinements, and one for the student.
fn panels(
    findings: &Findings,
    panel: impl Fn(&DepthSeries, &[&DepthSeries]) -> Panel,
) -> Vec<Panel> {
    let own = |subject: &str| {
        let found = findings.depth.iter().find(|series| series.subject == subject);
        found.filter(|series| !series.rows.is_empty())
    };
    let refined: Vec<&DepthSeries> = findings
        .depth
        .iter()
        .filter(|series| series.subject != TEACHER && series.subject != STUDENT)
        .collect();
    let teacher = own(TEACHER).map(|series| panel(series, &refined));
    teacher.into_iter().chain(own(STUDENT).map(|series| panel(series, &[]))).collect()
}

/// How far from its block a series is drawn, so that one does not hide another.
fn aside(own: &DepthSeries, index: usize) -> f64 {
    own.rows.len().max(6) as f64 * 0.012 * index as f64
}

fn blocks(series: &DepthSeries) -> Axis {
    let layers = || series.rows.iter().map(|row| row.layer);
    Axis::integers("block", layers().min().unwrap_or(0), layers().max().unwrap_or(0))
}

fn depth_panel(own: &DepthSeries, refined: &[&DepthSeries]) -> Panel {
    let at = |row: &DepthRow, which: usize| f64::from(row.quantiles[which]);
    let rows = || own.rows.iter().chain(refined.iter().flat_map(|series| &series.rows));
    let values = rows().flat_map(|row| [at(row, P5), at(row, MEDIAN), at(row, LARGEST)]);
    let [low, high] = positive_extent(values).unwrap_or([1.0, 1.0]);
    let y = if high / low > WIDE {
        Axis::log("L2 norm (logarithmic)", low, high)
    } else {
        Axis::from_zero("L2 norm", high, "")
    };
    let hue = Look::of(&own.subject).hue;
    let band = |low: usize, high: usize, opacity: f64| {
        let points = own.rows.iter().map(|row| [row.layer as f64, at(row, low), at(row, high)]);
        Mark::Band { points: points.collect(), hue, opacity }
    };
    // A single block has no width to fill.
    let single = own.rows.len() == 1;
    let line = |which: usize, width: f64, dash: Dash, marker: Marker| {
        let points = own.rows.iter().map(|row| [row.layer as f64, at(row, which)]);
        let marker = if single { marker } else { Marker::None };
        Mark::Line(Line { points: points.collect(), hue, width, dash, marker })
    };
    let mut marks = vec![
        (band(P5, P95, 0.2), Some("5–95 %".into())),
        (band(P25, P75, 0.35), Some("25–75 %".into())),
        (line(MEDIAN, 2.2, Dash::Solid, Marker::Disc), Some("median".into())),
        (line(LARGEST, 1.8, Dash::Short, Marker::Triangle), Some("largest".into())),
    ];
    if single {
        marks.push((strokes(&own.rows, hue, 0.0), None));
    }
    for (index, series) in refined.iter().enumerate() {
        let look = Look::of(&series.subject);
        let shift = aside(own, index + 1);
        let points = series.rows.iter().flat_map(|row| {
            let x = row.layer as f64 + shift;
            [[x, at(row, MEDIAN)], [x, at(row, LARGEST)]]
        });
        let line = Line {
            points: points.collect(),
            hue: look.hue,
            width: 2.0,
            dash: Dash::Unjoined,
            marker: look.marker,
        };
        marks.push((strokes(&series.rows, look.hue, shift), None));
        marks.push((Mark::Line(line), Some(series.subject.clone())));
    }
    Panel { title: own.subject.clone(), x: blocks(own), y, marks }
}

fn strokes(rows: &[DepthRow], hue: Hue, shift: f64) -> Mark {
    let points = rows.iter().map(|row| {
        [row.layer as f64 + shift, f64::from(row.quantiles[P5]), f64::from(row.quantiles[P95])]
    });
    Mark::Whiskers { points: points.collect(), hue, width: 2.4 }
}

/// Distribution of patch norms, a panel for each subject and layer.
pub(super) fn histograms(findings: &Findings) -> Chart {
    let panel = |own: &Histogram| {
        // The teacher and its refinements share axes, as they share a space.
        let student = own.subject == STUDENT;
        let alike = || {
            findings.histograms.iter().filter(move |other| {
                other.teacher_layer == own.teacher_layer && (other.subject == STUDENT) == student
            })
        };
        let most_norm = alike().filter_map(last_edge).fold(0.0, f64::max);
        let most = alike().flat_map(|other| &other.counts).copied().max().unwrap_or(0).max(10);
        let threshold = f64::from(own.threshold);
        let bars = |above: bool| -> Vec<[f64; 3]> {
            let bars = own.edges.windows(2).zip(&own.counts);
            let bars =
                bars.map(|(edge, count)| [f64::from(edge[0]), f64::from(edge[1]), *count as f64]);
            bars.filter(|bar| (bar[0] + bar[1] > 2.0 * threshold) == above).collect()
        };
        let look = Look::of(&own.subject);
        Panel {
            title: match student {
                true => format!("layer {}, student (its {})", own.teacher_layer, own.layer),
                false => format!("layer {}, {}", own.teacher_layer, own.subject),
            },
            x: Axis::from_zero("L2 norm", most_norm, ""),
            y: Axis::log("patches (logarithmic)", 0.8, most as f64),
            marks: vec![
                (Mark::Bars { bars: bars(false), hue: look.hue }, None),
                (Mark::Bars { bars: bars(true), hue: Hue::Ink }, Some("above the quantile".into())),
                (
                    Mark::Rule { x: threshold, hue: Hue::Ink },
                    Some(format!("mean {}-quantile", findings.quantile)),
                ),
            ],
        }
    };
    Chart {
        file: "norm-histograms",
        title: "Distribution of patch norms",
        reading: "Number of patches by norm, over all images. The counts are logarithmic, as outliers \
            are few; a bin with a single patch still has a bar. Bars in the colour of the text lie above the quantile \
            line (its mean over images). The panels of the teacher and of its refinements at a layer \
            have the same axes; the student's are its own.",
        panels: findings.histograms.iter().map(panel).collect(),
    }
}

/// Where the last bin with a patch in it ends.
fn last_edge(histogram: &Histogram) -> Option<f64> {
    let last = histogram.counts.iter().rposition(|count| *count > 0)?;
    let edge = histogram.edges.get(last + 1).copied()?;
    edge.is_finite().then_some(f64::from(edge))
}
