use serde::Serialize;

use super::statistics::{PairedTest, Summary, holm, paired_test};

/// All numbers of a study that are measured so far.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Results {
    /// The study's title.
    pub title: String,
    /// The seeds of each trained variant.
    pub seeds: Vec<u64>,
    /// The metrics.
    pub columns: Vec<Column>,
    /// Variants and models.
    pub rows: Vec<Row>,
    /// Tests with a p-value in all columns; they are corrected for this number.
    pub comparisons: usize,
}

/// What a study measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Whether less is better.
    pub lower_is_better: bool,
}

/// A metric's column.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether less is better.
    pub lower_is_better: bool,
    /// The row of the best baseline.
    pub best_baseline: Option<usize>,
}

/// A variant or a model.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether the study trained it.
    pub trained: bool,
    /// Whether it is a baseline; the others are tested against the best baseline.
    pub baseline: bool,
    /// Whether it has a line in the radar chart.
    pub chart: bool,
    /// Largest over median patch norm of each seed's student, see [`with_norms`](Self::with_norms).
    pub norms: Vec<Option<f64>>,
    /// Seconds of each seed's run, see [`with_seconds`](Self::with_seconds).
    pub seconds: Vec<Option<f64>>,
    /// The report of each seed's run, relative to the study's folder, see
    /// [`with_reports`](Self::with_reports).
    pub reports: Vec<Option<String>>,
    /// One per column.
    pub cells: Vec<Cell>,
}

/// One metric of one variant or model.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// One per seed of the study; a single one for a model.
    pub values: Vec<Option<f64>>,
    /// Of the values measured so far.
    pub summary: Option<Summary>,
    /// Against the best baseline; `None` for that baseline itself and for models.
    pub test: Option<PairedTest>,
}

impl Row {
    /// A variant that the study trained, with the values of each metric by seed.
    pub fn variant(name: &str, values: Vec<Vec<Option<f64>>>) -> Self {
        let cells = values.into_iter().map(|values| {
            let summary = Summary::of_known(&values);
            Cell { values, summary, test: None }
        });
        let cells = cells.collect();
        let (norms, seconds, reports) = (Vec::new(), Vec::new(), Vec::new());
        let (trained, baseline, chart) = (true, false, true);
        Self { name: name.into(), trained, baseline, chart, norms, seconds, reports, cells }
    }

    /// A model that was measured as it is, with the value of each metric.
    pub fn model(name: &str, values: Vec<Option<f64>>) -> Self {
        let values = values.into_iter().map(|value| vec![value]).collect();
        Self { trained: false, ..Self::variant(name, values) }
    }

    /// With or without a line in the radar chart.
    pub fn with_chart(self, chart: bool) -> Self {
        Self { chart, ..self }
    }

    /// With the largest over the median patch norm of each seed's student, after its last block:
    /// how strong the artifacts are that it has.
    pub fn with_norms(self, norms: Vec<Option<f64>>) -> Self {
        Self { norms, ..self }
    }

    /// With the seconds that each seed's run took: opening models and images, estimating a
    /// refinement, training, and the run's own measurements.
    pub fn with_seconds(self, seconds: Vec<Option<f64>>) -> Self {
        Self { seconds, ..self }
    }

    /// With the page of each seed's run, where it is written.
    pub fn with_reports(self, reports: Vec<Option<String>>) -> Self {
        Self { reports, ..self }
    }

    /// As one of the baselines, or not.
    pub fn with_baseline(self, baseline: bool) -> Self {
        Self { baseline, ..self }
    }
}

impl Results {
    /// Finds the best baseline of each metric and tests every trained variant against
    /// it, seed by seed, with p-values corrected for the number of all these tests. A row has one
    /// cell per metric, in their order; missing ones count as not measured.
    pub fn new(title: &str, seeds: Vec<u64>, metrics: Vec<Metric>, mut rows: Vec<Row>) -> Self {
        for row in &mut rows {
            row.cells.resize(metrics.len(), Cell::default());
        }
        let column = |(index, Metric { name, lower_is_better }): (usize, Metric)| {
            let best_baseline = best(&rows, index, lower_is_better, |row| row.baseline);
            if let Some(best) = best_baseline {
                test(&mut rows, index, best);
            }
            Column { name, lower_is_better, best_baseline }
        };
        let columns = metrics.into_iter().enumerate().map(column).collect();
        let comparisons = correct(&mut rows);
        Self { title: title.into(), seeds, columns, rows, comparisons }
    }

    /// The row of the best trained variant of a column.
    pub fn best(&self, column: usize) -> Option<usize> {
        best(&self.rows, column, self.columns[column].lower_is_better, |row| row.trained)
    }
}

fn best(
    rows: &[Row],
    column: usize,
    lower_is_better: bool,
    among: impl Fn(&Row) -> bool,
) -> Option<usize> {
    let mean = |row: &Row| Some(row.cells[column].summary?.mean);
    let sign = if lower_is_better { -1.0 } else { 1.0 };
    rows.iter()
        .enumerate()
        .filter(|(_, row)| among(row))
        .filter_map(|(index, row)| Some((index, sign * mean(row)?)))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(index, _)| index)
}

/// Corrects the p-values of all tests; their number.
fn correct(rows: &mut [Row]) -> usize {
    let cells = rows.iter_mut().flat_map(|row| &mut row.cells);
    let mut tests: Vec<&mut PairedTest> =
        cells.filter_map(|cell| cell.test.as_mut().filter(|test| test.p.is_some())).collect();
    let p: Vec<f64> = tests.iter().filter_map(|test| test.p).collect();
    for (test, corrected) in tests.iter_mut().zip(holm(&p)) {
        test.corrected = Some(corrected);
    }
    p.len()
}

/// Tests every variant against the baseline, seed by seed.
fn test(rows: &mut [Row], column: usize, baseline: usize) {
    let reference = rows[baseline].cells[column].values.clone();
    for (index, row) in rows.iter_mut().enumerate() {
        if index != baseline && row.trained {
            let cell = &mut row.cells[column];
            let pairs: Vec<(f64, f64)> = cell
                .values
                .iter()
                .zip(&reference)
                .filter_map(|(a, b)| Some(((*a)?, (*b)?)))
                .collect();
            cell.test = paired_test(&pairs);
        }
    }
}
