//! The numbers of a report, as tables of its page.

use maud::{Markup, html};

use super::positions::percent;
use crate::figure::number;
use crate::inspect::{Findings, STUDENT};

/// Norms over all images, by layer and subject.
pub(super) fn norms(findings: &Findings) -> Markup {
    html! {
        div.table { table {
            caption { "Patch norms over all images" }
            thead { tr {
                th scope="col" { "layer" } th scope="col" { "subject" }
                @for name in ["least", "5 %", "median", "95 %"] { th.n scope="col" { (name) } }
                th.n scope="col" { (findings.quantile) "-quantile" }
                @for name in ["largest", "largest / median", "above 3 × median"] {
                    th.n scope="col" { (name) }
                }
            } }
            tbody {
                @for &layer in &findings.layers { @for series in &findings.depth {
                    @let own = own_layer(findings, layer, &series.subject);
                    @for row in series.rows.iter().filter(|row| Some(row.layer) == own) {
                        @let q = row.quantiles;
                        tr {
                            td { (layer) @if series.subject == STUDENT { " (its " (row.layer) ")" } }
                            th scope="row" { (series.subject) }
                            @for value in [q[0], q[1], q[3], q[5], q[6], q[7], q[7] / q[3]] {
                                td.n { (number(value)) }
                            }
                            td.n { (percent(row.outlier_share)) }
                        }
                    }
                } }
            }
        } }
    }
}

/// A subject's own layer for one of the teacher's.
fn own_layer(findings: &Findings, layer: usize, subject: &str) -> Option<usize> {
    if subject != STUDENT {
        return Some(layer);
    }
    let layers = findings.images.iter().flat_map(|image| &image.layers);
    layers.filter(|found| found.layer == layer).find_map(|found| found.student_layer)
}

/// The teacher's outcome with replaced features.
pub(super) fn injections(findings: &Findings) -> Markup {
    let headed = findings.injections.iter().any(|one| one.logits.is_some());
    html! {
        div.table { table {
            caption { "The teacher's outcome with the features of one layer replaced" }
            thead { tr {
                th scope="col" { "layer" } th scope="col" { "features" }
                th.n scope="col" { "cosine, class" } th.n scope="col" { "cosine, patches" }
                @if headed {
                    th.n scope="col" { "KL (nats)" } th.n scope="col" { "top-1 agreement" }
                }
            } }
            tbody { @for one in &findings.injections { tr {
                td { (one.layer) }
                th scope="row" { (one.method) }
                td.n { (cosine(one.class_cosine)) }
                td.n { (cosine(one.patch_cosine)) }
                @if headed { @match &one.logits {
                    Some(logits) => {
                        td.n { (number(logits.kl)) }
                        td.n { (percent(logits.top1_agreement)) }
                    }
                    None => { td.n { "–" } td.n { "–" } }
                } }
            } } }
        } }
    }
}

/// With enough digits to tell cosines near 1 apart.
fn cosine(value: f32) -> String {
    if value.is_finite() { format!("{value:.5}").replace('-', "−") } else { number(value) }
}
