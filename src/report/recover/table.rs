use std::fmt::Write;

use crate::recover::{Findings, Spread, Summary};

/// The findings as Markdown.
pub fn markdown(findings: &Findings) -> String {
    let block = findings.settings.block;
    let summaries = findings.summaries();
    let last = summaries.iter().map(|one| one.block).max().unwrap_or(block);
    let seeds = summaries.iter().map(|one| one.seeds).max().unwrap_or(1);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Distance ‖x̂ − x‖ / ‖x‖ of the features of {} to the clean ones, means over tokens of {} images{}: on patches \
         with a planted artifact, on the others, on all patches; on class tokens with an artifact, and on all of them. \
         Outliers are patches above the {} quantile of their image's norms; clipped scales them down to it, \
         replaced by mean puts the mean of their image's other patches in their place. Rank {}, adapters fitted in {} steps.\n",
        findings.teacher,
        findings.measured_images,
        if seeds > 1 {
            format!(" and standard deviations over {seeds} plantings")
        } else {
            String::new()
        },
        findings.settings.quantile,
        findings.settings.rank,
        findings.fit.steps,
    );
    section(&mut text, &format!("Treated in block {block}, right there"), &summaries, |one| {
        one.layer.is_none_or(|layer| layer == block) && one.block == block
    });
    if last > block {
        let title = format!("Treated in block {block}, after block {last}");
        section(&mut text, &title, &summaries, |one| {
            one.layer.is_none_or(|layer| layer == block) && one.block == last
        });
        let title = format!("Treated in block {last}, right there");
        section(&mut text, &title, &summaries, |one| one.layer == Some(last) && one.block == last);
    }
    text
}

fn section(text: &mut String, title: &str, all: &[Summary], which: impl Fn(&Summary) -> bool) {
    let mut rows: Vec<&Summary> = all.iter().filter(|one| which(one)).collect();
    if rows.is_empty() {
        return;
    }
    let mut names: Vec<&str> = rows.iter().map(|one| one.name.as_str()).collect();
    names.dedup();
    let place = |one: &Summary| names.iter().position(|name| *name == one.name);
    rows.sort_by_key(|one| (place(one), one.treatment));
    let _ = writeln!(text, "### {title}\n");
    let _ = writeln!(
        text,
        "| planted | features | artifacts | others | all | class, artifacts | class, all |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|");
    let mut before = "";
    for one in rows {
        let name = if one.name == before { "" } else { &one.name };
        before = &one.name;
        let spreads = [one.artifacts, one.others, one.all, one.class_artifacts, one.class_token];
        let cells = spreads.map(|spread| cell(spread, one.seeds)).join(" | ");
        let _ = writeln!(text, "| {name} | {} | {cells} |", one.treatment.name());
    }
    text.push('\n');
}

fn cell(spread: Option<Spread>, seeds: usize) -> String {
    match spread {
        None => "–".into(),
        Some(Spread { mean, .. }) if seeds == 1 => format!("{mean:.4}"),
        Some(Spread { mean, deviation }) => format!("{mean:.4} ± {deviation:.4}"),
    }
}
