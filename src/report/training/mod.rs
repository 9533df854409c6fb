//! The report of trainings: curves, norms, settings, and in plain words how it went. One page that
//! needs no other file, of one run or of several beside each other.

mod chart;
mod examples;
mod maps;
mod measure;
mod page;
mod verdict;

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::export::RUN_FILE;
use crate::train::{METRICS, PACE, Pace, Record};
use crate::weights::write_atomically;

pub use examples::{
    BlockNorms, Compared, Example, Examples, Moved, NormHistogram, NormMap, Subject, photographs,
};
pub(super) use maps::{high, picture};
pub use page::page;
pub use verdict::{Verdict, verdicts};

/// The page's name in a run's folder.
pub const PAGE: &str = "report.html";

/// A run's folder as it stands, finished or not.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    /// The folder's name.
    pub name: String,
    /// `run.json`: settings, and at the end measurements.
    pub description: Value,
    /// The logged steps, in order.
    pub records: Vec<Record>,
    /// How fast it went, in order.
    pub pace: Vec<Pace>,
    /// Norms on a few of its images, where they were measured.
    pub examples: Option<Examples>,
    /// The photographs of their maps, where they are to be shown.
    pub photographs: Vec<RgbImage>,
}

impl TrainingRun {
    /// Reads the folder of `singer distill` or `singer pretrain`.
    ///
    /// # Errors
    /// [`Error::Data`] for a folder that is none, or whose files are damaged. A last line of
    /// `metrics.jsonl` that is being written is left out.
    pub fn read(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            std::fs::read_to_string(folder.join(name)).map_err(|error| {
                Error::data(folder, format!("it is no run's folder: {name} ({error})"))
            })
        };
        let description = serde_json::from_str(&text(RUN_FILE)?).map_err(|error| {
            Error::data(folder.join(RUN_FILE), format!("it is damaged ({error})"))
        })?;
        let records = lines(folder, METRICS, &text(METRICS)?)?;
        // Runs from before it was kept have none.
        let pace = lines(folder, PACE, &text(PACE).unwrap_or_default())?;
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            name: name.unwrap_or_default(),
            description,
            records,
            pace: Pace::of_last_attempt(pace),
            examples: Examples::read(folder),
            photographs: Vec::new(),
        })
    }

    /// Seconds since 1970 at which a step was done. Where it was not kept, steps are spread evenly
    /// over the run.
    pub(super) fn time(&self, step: usize) -> f64 {
        if let Some(pace) = self.pace.iter().find(|pace| pace.step >= step) {
            return pace.time;
        }
        let of = |key: &str| self.description[key].as_f64();
        let started = of("started").unwrap_or(0.0);
        let last = self.records.last().map_or(1, |record| record.step.max(1));
        started + of("seconds").unwrap_or(0.0) * step as f64 / last as f64
    }

    /// Whether it came to its end.
    pub fn finished(&self) -> bool {
        self.description["finished"].is_number()
    }

    /// The curves' names: the loss, its terms and other quantities, in the order of the file.
    fn terms(&self) -> Vec<&str> {
        let terms = self.records.iter().flat_map(|record| record.terms.keys());
        let mut names = distinct(std::iter::once("loss").chain(terms.map(String::as_str)));
        // A single term is the loss.
        if names.len() == 2 {
            names.pop();
        }
        names
    }

    /// `[step, value]` of a curve.
    fn curve(&self, name: &str) -> Vec<[f64; 2]> {
        let value = |record: &Record| match name {
            "loss" => Some(record.loss),
            name => record.terms.get(name).copied(),
        };
        let points = self.records.iter();
        points.filter_map(|of| Some([of.step as f64, f64::from(value(of)?)])).collect()
    }
}

/// The lines of a file of a run's folder, but for a last one that is being written.
fn lines<T: DeserializeOwned>(folder: &Path, name: &str, text: &str) -> Result<Vec<T>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let values = whole.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    values.map_err(|error| Error::data(folder.join(name), format!("it is damaged ({error})")))
}

/// The values in the order in which they come first.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut found, value| {
        if !found.contains(&value) {
            found.push(value);
        }
        found
    })
}

/// Writes the page of `runs`, which follows a running one where `refresh` is a number of seconds.
///
/// # Errors
/// [`Error::Io`]; [`Error::Drawing`].
pub fn write(runs: &[TrainingRun], out: &Path, refresh: Option<u32>) -> Result<PathBuf> {
    write_atomically(out, page(runs, refresh)?.as_bytes())?;
    Ok(out.to_owned())
}
