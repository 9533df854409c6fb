//! How a study's numbers are written, in Markdown and on the page alike.

use std::fmt::Write;

use crate::study::{Cell, Results};

/// Mean and spread, such as `71.32 ± 0.41`.
pub(super) fn value(cell: &Cell) -> String {
    let Some(summary) = cell.summary else { return "–".into() };
    let digits = digits(summary.mean);
    match summary.deviation {
        Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", summary.mean),
        None => format!("{:.digits$}", summary.mean),
    }
}

/// Difference to the best baseline and the test's p.
pub(super) fn test(cell: &Cell) -> Option<String> {
    let test = cell.test?;
    let digits = cell.summary.map_or(2, |summary| digits(summary.mean));
    let sign = if test.difference < 0.0 { "−" } else { "+" };
    let mut text = format!("{sign}{:.digits$}", test.difference.abs());
    match test.p {
        Some(p) if p < 0.001 => text += ", p < 0.001",
        Some(p) => drop(write!(text, ", p = {p:.3}")),
        None => {}
    }
    Some(text)
}

/// Enough decimals for four significant digits, at least two.
fn digits(value: f64) -> usize {
    match value.abs() {
        a if a < 0.01 => 5,
        a if a < 1.0 => 4,
        a if a < 10.0 => 3,
        _ => 2,
    }
}

/// What the numbers are, in a sentence or two.
pub(super) fn legend(results: &Results) -> String {
    let seeds = results.seeds.len();
    let mut text = format!(
        "Mean ± sample standard deviation over {seeds} {}.",
        if seeds == 1 { "seed" } else { "seeds" }
    );
    if results.columns.iter().any(|column| column.best_baseline.is_some()) {
        text += " Below: difference to the best baseline of the column on the same seeds, and p of a \
                 two-sided paired t-test, not corrected for the number of comparisons.";
        if seeds < 5 {
            text +=
                " With so few seeds the test finds only differences much larger than the spread.";
        }
    }
    text
}

/// The whole table in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("# {}\n\n{}\n\n|  |", results.title, legend(results));
    for column in &results.columns {
        let _ = write!(text, " {}{} |", column.name, arrow(column.lower_is_better));
    }
    text += "\n|---|";
    text += &"---|".repeat(results.columns.len());
    text.push('\n');
    for (index, row) in results.rows.iter().enumerate() {
        let name = row.name.replace('|', "\\|");
        let _ = write!(text, "| {name}{} |", if row.baseline { " (baseline)" } else { "" });
        for (column, cell) in row.cells.iter().enumerate() {
            let bold = if results.best(column) == Some(index) { "**" } else { "" };
            let _ = write!(text, " {bold}{}{bold}", value(cell));
            if let Some(test) = test(cell) {
                let _ = write!(text, "<br>{test}");
            }
            text += " |";
        }
        text.push('\n');
    }
    text
}

/// Which way is better.
pub(super) fn arrow(lower_is_better: bool) -> &'static str {
    if lower_is_better { " ↓" } else { " ↑" }
}
