use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::{TrainingRun, chart, distinct, maps, verdicts};
use crate::error::Result;
use crate::report::document::{STYLE, document};
use crate::report::track::flatten;

/// The page of one run, or of several with a line for each in every chart and the settings in
/// which they differ. With `refresh`, a browser loads it anew after so many seconds.
///
/// # Errors
/// [`Error::Drawing`](crate::Error::Drawing).
pub fn page(runs: &[TrainingRun], refresh: Option<u32>) -> Result<String> {
    let title = match runs {
        [run] => run.name.clone(),
        _ => format!("{} runs", runs.len()),
    };
    let charts: Vec<String> =
        chart::panels(runs).iter().map(|panel| panel.to_svg()).collect::<Result<_>>()?;
    let examples: Vec<Markup> = runs.iter().map(maps::section).collect::<Result<_>>()?;
    let body = html! {
        h1 { (title) }
        @for run in runs { (summary(run, runs.len() > 1)) }
        @if !charts.is_empty() {
            h2 { "Curves" }
            div.charts { @for chart in &charts { figure { (PreEscaped(chart)) } } }
        }
        (norms(runs))
        @for (run, examples) in runs.iter().zip(&examples) {
            @if runs.len() > 1 && run.examples.is_some() { h2.run { (run.name) } }
            (examples)
        }
        @if runs.len() > 1 {
            h2 { "Settings that differ" }
            (settings(runs))
        } @else {
            details { summary { "Settings" } (settings(runs)) }
        }
    };
    let style = format!("{STYLE}{}", include_str!("style.css"));
    Ok(document(&title, &style, refresh, &body))
}

fn summary(run: &TrainingRun, named: bool) -> Markup {
    let of = |key: &str| run.description[key].as_str().unwrap_or_default().to_owned();
    let config = &run.description["config"];
    let method = config["method"].as_str().map(|method| format!(", method {method}"));
    html! {
        section {
            @if named { h2 { (run.name) } }
            p.about {
                "singer " (of("command")) (method.unwrap_or_default()) " on " (of("device"))
                ", products in " (of("precision"))
            }
            ul.verdicts {
                @for verdict in verdicts(run) {
                    li.warning[verdict.warning] { (verdict.text) }
                }
            }
        }
    }
}

/// Norms of raw and refined features by layer, and the student's.
fn norms(runs: &[TrainingRun]) -> Markup {
    let number = |value: &Value| value.as_f64().map(|value| format!("{value:.2}"));
    let share = |value: &Value| value.as_f64().map(|value| format!("{:.2} %", value * 100.0));
    let cells = |of: &Value| {
        [number(&of["median"]), number(&of["max_over_median"]), share(&of["outlier_share"])]
            .map(Option::unwrap_or_default)
    };
    let mut rows: Vec<(String, [String; 3])> = Vec::new();
    for run in runs {
        let result = &run.description["result"];
        let prefix = if runs.len() > 1 { format!("{}: ", run.name) } else { String::new() };
        for layer in result["norms"].as_array().into_iter().flatten() {
            for (kind, name) in [("raw", "teacher"), ("refined", "refined teacher")] {
                if layer[kind].is_object() {
                    let name = format!("{prefix}{name}, block {}", layer["layer"]);
                    rows.push((name, cells(&layer[kind])));
                }
            }
        }
        if result["student_norms"].is_object() {
            rows.push((format!("{prefix}student, last block"), cells(&result["student_norms"])));
        }
    }
    html! {
        @if !rows.is_empty() {
            h2 { "Patch norms" }
            div.table { table {
                thead { tr {
                    th scope="col" { "" }
                    th scope="col" { "median" }
                    th scope="col" { "largest over median" }
                    th scope="col" { "patches above 3x the median" }
                } }
                tbody { @for (name, cells) in &rows { tr {
                    th scope="row" { (name) }
                    @for cell in cells { td { (cell) } }
                } } }
            } }
        }
    }
}

/// The settings of one run, or those in which several differ.
fn settings(runs: &[TrainingRun]) -> Markup {
    let all: Vec<Vec<(String, String)>> = runs
        .iter()
        .map(|run| {
            let mut found = Vec::new();
            flatten("", &run.description["config"], &mut found);
            let text =
                |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.into_iter().map(|(key, value)| (key, text(value))).collect()
        })
        .collect();
    let keys = distinct(all.iter().flatten().map(|(key, _)| key));
    let value = |of: &[(String, String)], key: &str| {
        of.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let rows: Vec<(&String, Vec<String>)> = keys
        .into_iter()
        .map(|key| (key, all.iter().map(|of| value(of, key)).collect::<Vec<_>>()))
        .filter(|(_, values)| runs.len() == 1 || values.iter().any(|value| *value != values[0]))
        .collect();
    html! {
        div.table { table.settings {
            @if runs.len() > 1 {
                thead { tr {
                    th scope="col" { "" }
                    @for run in runs { th scope="col" { (run.name) } }
                } }
            }
            tbody { @for (key, values) in &rows { tr {
                th scope="row" { (key) }
                @for value in values { td { (value) } }
            } } }
        } }
    }
}
