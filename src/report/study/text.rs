//! How a study's numbers are written, in Markdown and on the page alike.

use std::fmt::Write;

use crate::study::{Cell, Results, Row, Summary};

/// Mean and spread, such as `71.32 ± 0.41`.
pub(super) fn value(cell: &Cell) -> String {
    let Some(summary) = cell.summary else { return "–".into() };
    let digits = digits(summary.mean);
    match summary.deviation {
        Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", summary.mean),
        None => format!("{:.digits$}", summary.mean),
    }
}

/// Seconds of a run, mean and spread.
pub(super) fn time(row: &Row) -> String {
    match row.time() {
        Some(Summary { mean, deviation: Some(deviation) }) => format!("{mean:.0} ± {deviation:.0}"),
        Some(Summary { mean, deviation: None }) => format!("{mean:.0}"),
        None => "–".into(),
    }
}

/// Whether any run's time is known.
pub(super) fn timed(results: &Results) -> bool {
    results.rows.iter().any(|row| row.time().is_some())
}

/// Difference to the best baseline and the test's corrected p.
pub(super) fn test(cell: &Cell) -> Option<String> {
    let test = cell.test?;
    let digits = cell.summary.map_or(2, |summary| digits(summary.mean));
    let sign = if test.difference < 0.0 { "−" } else { "+" };
    let mut text = format!("{sign}{:.digits$}", test.difference.abs());
    match test.corrected {
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
        let count = results.comparisons;
        let _ = write!(
            text,
            " Below: difference to the best baseline of the column on the same seeds, and p of a \
             two-sided paired t-test, corrected by Holm for the {count} comparisons of this table."
        );
        if seeds < 5 {
            text +=
                " With so few seeds the test finds only differences much larger than the spread.";
        }
    }
    if timed(results) {
        text += " Seconds: a run's wall time, a refinement's estimation included.";
    }
    text
}

/// The whole table in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("# {}\n\n{}\n\n|  |", results.title, legend(results));
    for column in &results.columns {
        let _ = write!(text, " {}{} |", column.name, arrow(column.lower_is_better));
    }
    let timed = timed(results);
    if timed {
        text += " seconds |";
    }
    text += "\n|---|";
    text += &"---|".repeat(results.columns.len() + usize::from(timed));
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
        if timed {
            let _ = write!(text, " {} |", time(row));
        }
        text.push('\n');
    }
    text
}

/// Which way is better.
pub(super) fn arrow(lower_is_better: bool) -> &'static str {
    if lower_is_better { " ↓" } else { " ↑" }
}
