use std::fmt::Write;

use crate::recover::{Case, Errors, Findings, Recovery};

/// The findings as Markdown.
pub fn markdown(findings: &Findings) -> String {
    let block = findings.settings.block;
    let last = findings.cases.iter().flat_map(|case| &case.recoveries).map(|one| one.block).max();
    let last = last.unwrap_or(block);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Distance of the features of {} to the clean ones: on patches with a planted artifact and on the others, \
         means over patches of {} images. d is ‖x̂ − x‖ / ‖x‖, n is |‖x̂‖ − ‖x‖| / ‖x‖, c is 1 − cos(x̂, x). \
         Outliers are patches above the {} quantile of their image's norms; clipped scales them down to it, \
         replaced by mean puts the mean of their image's other patches in their place. Rank {}, adapters fitted in {} steps.\n",
        findings.teacher,
        findings.measured_images,
        findings.settings.quantile,
        findings.settings.rank,
        findings.fit.steps,
    );
    section(&mut text, &format!("Treated in block {block}, right there"), findings, |one| {
        one.layer == block && one.block == block
    });
    if last > block {
        let title = format!("Treated in block {block}, after block {last}");
        section(&mut text, &title, findings, |one| one.layer == block && one.block == last);
        let title = format!("Treated in block {last}, right there");
        section(&mut text, &title, findings, |one| one.layer == last && one.block == last);
    }
    text
}

fn section(text: &mut String, title: &str, findings: &Findings, which: impl Fn(&Recovery) -> bool) {
    let rows = |case: &'_ Case| -> Vec<Recovery> {
        case.recoveries.iter().filter(|one| which(one)).cloned().collect()
    };
    if findings.cases.iter().all(|case| rows(case).is_empty()) {
        return;
    }
    let _ = writeln!(text, "### {title}\n");
    let _ = writeln!(text, "| planted | features | artifacts: d | n | c | others: d | n | c |");
    let _ = writeln!(text, "|---|---|---|---|---|---|---|---|");
    for case in &findings.cases {
        for (index, one) in rows(case).iter().enumerate() {
            let name = if index == 0 { case.name() } else { String::new() };
            let (artifacts, clean) = (cells(&one.artifacts), cells(&one.clean));
            let _ = writeln!(text, "| {name} | {} | {artifacts} | {clean} |", one.treatment.name());
        }
    }
    text.push('\n');
}

fn cells(errors: &Errors) -> String {
    format!("{:.3} | {:.3} | {:.4}", errors.distance, errors.norm, errors.cosine)
}
