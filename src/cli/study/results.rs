use serde::Serialize;

use super::job::Job;
use super::plan::Plan;
use super::statistics::{Paired, Summary, paired};

/// All numbers of a study, as far as they are measured.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) title: String,
    pub(super) seeds: Vec<u64>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// A metric.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) lower_is_better: bool,
    /// The row of the best baseline.
    pub(super) best_baseline: Option<usize>,
}

/// A variant or a model.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) trained: bool,
    pub(super) baseline: bool,
    pub(super) chart: bool,
    pub(super) cells: Vec<Cell>,
}

/// One metric of one variant or model.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cell {
    /// By the study's seeds; one number for a model.
    pub(super) values: Vec<Option<f64>>,
    pub(super) summary: Option<Summary>,
    /// Against the best baseline; none for it and for models.
    pub(super) test: Option<Paired>,
}

impl Results {
    /// Gathers what the jobs have left.
    pub(super) fn gather(plan: &Plan, jobs: &[Job]) -> Self {
        let metrics =
            || plan.probes.iter().flat_map(|probe| probe.metrics.iter().map(move |m| (probe, m)));
        let cells = |name: &str| -> Vec<Cell> {
            let of_name = || jobs.iter().filter(|job| job.name == name);
            metrics()
                .map(|(probe, metric)| {
                    let values: Vec<_> = of_name().map(|job| job.value(probe, metric)).collect();
                    let known: Vec<f64> = values.iter().copied().flatten().collect();
                    Cell { values, summary: Summary::of(&known), test: None }
                })
                .collect()
        };
        let models = plan.models.iter().map(|model| Row {
            name: model.name.clone(),
            trained: false,
            baseline: false,
            chart: model.chart,
            cells: cells(&model.name),
        });
        let variants = plan.variants.iter().map(|variant| Row {
            name: variant.name.clone(),
            trained: true,
            baseline: variant.baseline,
            chart: variant.chart,
            cells: cells(&variant.name),
        });
        let mut rows: Vec<Row> = models.chain(variants).collect();
        let columns = metrics()
            .enumerate()
            .map(|(index, (probe, metric))| {
                let best_baseline = best(&rows, index, metric.lower_is_better, |row| row.baseline);
                if let Some(best) = best_baseline {
                    test(&mut rows, index, best);
                }
                let name = format!("{}, {}", probe.name, metric.name);
                Column { name, lower_is_better: metric.lower_is_better, best_baseline }
            })
            .collect();
        let title = plan.title.clone().unwrap_or_else(|| "Study".into());
        Self { title, seeds: plan.seeds.clone(), columns, rows }
    }

    /// The best trained variant of a column.
    pub(super) fn best(&self, column: usize) -> Option<usize> {
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
            cell.test = paired(&pairs);
        }
    }
}
