use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// One step's line in `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The step, from 1.
    pub step: usize,
    /// Epochs done, with the fraction.
    pub epoch: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// The minimised sum.
    pub loss: f32,
    /// Its terms and other quantities by name.
    #[serde(flatten)]
    pub terms: std::collections::BTreeMap<String, f32>,
}

/// Name of the metrics in a run's folder.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Name of the file of [`Pace`] in a run's folder.
pub(crate) const PACE: &str = "pace.jsonl";

/// How fast a run went up to a step: a line of `pace.jsonl`. It is apart from the metrics, which
/// are the same for every run of the same settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// The step, from 1.
    pub step: usize,
    /// Seconds since 1970.
    pub time: f64,
    /// Images a second since the line before.
    pub images_per_second: f64,
    /// Share of that time spent waiting for data, 0 to 1.
    pub waiting: f64,
}

impl Pace {
    /// Adds a line to the file of a run's folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn append(&self, folder: &Path) -> Result<()> {
        let path = folder.join(PACE);
        let line = serde_json::to_string(self).unwrap_or_default() + "\n";
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| Error::io(&path, error))
    }

    /// The lines without those of steps that were done anew after the run was interrupted.
    #[cfg(feature = "figures")]
    pub(crate) fn of_last_attempt(lines: Vec<Self>) -> Vec<Self> {
        lines.into_iter().fold(Vec::new(), |mut kept, line| {
            kept.truncate(kept.partition_point(|before: &Self| before.step < line.step));
            kept.push(line);
            kept
        })
    }
}

/// The file of a run's metrics, one JSON object a line.
pub struct MetricsFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl MetricsFile {
    /// Opens the file to go on after `step` steps: later lines, which a killed
    /// run wrote after its last checkpoint, are dropped.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        let io = |error| Error::io(path, error);
        if step == 0 {
            write_atomically(path, b"")?;
        } else {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let kept: String = text
                .lines()
                .filter(|line| {
                    serde_json::from_str::<Record>(line).is_ok_and(|record| record.step <= step)
                })
                .flat_map(|line| [line, "\n"])
                .collect();
            write_atomically(path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Appends lines.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut write = || {
            for record in records {
                serde_json::to_writer(&mut self.file, record)?;
                self.file.write_all(b"\n")?;
            }
            self.file.flush()
        };
        write().map_err(|error| Error::io(&self.path, error))
    }
}
