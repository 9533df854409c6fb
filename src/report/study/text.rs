//! How a study's numbers are written, in Markdown and on the page alike.

use std::fmt::Write;

use crate::study::{Cell, Results, Row, Summary};

/// Mean and spread, such as `71.32 ± 0.41`.
pub(super) fn value(cell: &Cell) -> String {
    spread(cell.summary, digits)
}

fn spread(summary: Option<Summary>, digits: impl Fn(f64) -> usize) -> String {
    let Some(Summary { mean, deviation }) = summary else { return "–".into() };
    let digits = digits(mean);
    match deviation {
        Some(deviation) => format!("{mean:.digits$} ± {deviation:.digits$}"),
        None => format!("{mean:.digits$}"),
    }
}

/// A number of the runs themselves, beside what is measured of their students.
pub(super) struct RunColumn {
    /// Its name.
    pub(super) name: &'static str,
    about: &'static str,
    digits: usize,
    values: fn(&Row) -> &[Option<f64>],
}

const RUN_COLUMNS: [RunColumn; 2] = [
    RunColumn {
        name: "student: largest ÷ median norm",
        about: " Norms: of the student's patch tokens after its last block, artifacts where they \
                are far apart.",
        digits: 2,
        values: |row| &row.norms,
    },
    RunColumn {
        name: "seconds",
        about: " Seconds: a run's wall time, a refinement's estimation included.",
        digits: 0,
        values: |row| &row.seconds,
    },
];

impl RunColumn {
    fn summary(&self, row: &Row) -> Option<Summary> {
        Summary::of_known((self.values)(row))
    }

    /// Mean and spread over the runs known so far.
    pub(super) fn value(&self, row: &Row) -> String {
        spread(self.summary(row), |_| self.digits)
    }
}

/// The columns of which any run has a number.
pub(super) fn run_columns(results: &Results) -> Vec<RunColumn> {
    let known = |column: &RunColumn| results.rows.iter().any(|row| column.summary(row).is_some());
    RUN_COLUMNS.into_iter().filter(known).collect()
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
    let mut text = format!("Mean ± sample standard deviation over {}.", measured_seeds(results));
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
    run_columns(results).iter().for_each(|column| text += column.about);
    text
}

/// How many seeds the table's means are of: fewer than the study's where jobs are not done yet.
fn measured_seeds(results: &Results) -> String {
    let seeds = results.seeds.len();
    let cells = results.rows.iter().filter(|row| row.trained).flat_map(|row| &row.cells);
    let known: Vec<usize> = cells.map(|cell| cell.values.iter().flatten().count()).collect();
    let (least, most) = (known.iter().min(), known.iter().max());
    match (least.copied().unwrap_or(seeds), most.copied().unwrap_or(seeds)) {
        (least, _) if least == seeds => match seeds {
            1 => "1 seed".into(),
            _ => format!("{seeds} seeds"),
        },
        (least, most) if least == most => format!("{most} of {seeds} seeds"),
        (least, most) => format!("{least} to {most} of {seeds} seeds"),
    }
}

/// The whole table in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("# {}\n\n{}\n\n|  |", results.title, legend(results));
    for column in &results.columns {
        let _ = write!(text, " {}{} |", column.name, arrow(column.lower_is_better));
    }
    let of_runs = run_columns(results);
    for column in &of_runs {
        let _ = write!(text, " {} |", column.name);
    }
    text += "\n|---|";
    text += &"---|".repeat(results.columns.len() + of_runs.len());
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
        for column in &of_runs {
            let _ = write!(text, " {} |", column.value(row));
        }
        text.push('\n');
    }
    text
}

/// Which way is better.
pub(super) fn arrow(lower_is_better: bool) -> &'static str {
    if lower_is_better { " ↓" } else { " ↑" }
}
