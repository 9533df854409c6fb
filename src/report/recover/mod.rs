//! The report of what comes back from planted artifacts: numbers, table and chart.

mod chart;
mod table;

pub use chart::panels;
pub use table::markdown;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Folder;
use crate::error::{Error, Result};
use crate::figure::{png, subplots};
use crate::recover::{Findings, Summary};

/// What `recovery.json` holds.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    summaries: Vec<Summary>,
}

/// The findings and their summaries, as `recovery.json` holds them.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn json(findings: &Findings) -> Result<String> {
    let report = Report { findings, summaries: findings.summaries() };
    serde_json::to_string_pretty(&report).map_err(|error| Error::io("recovery.json", error.into()))
}

/// Writes `recovery.json`, `recovery.md` and `recovery.png`. Returns what was
/// written.
///
/// # Errors
/// [`Error::Io`]; [`Error::Drawing`].
pub fn write(findings: &Findings, out: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let figure = subplots("Distance to clean", &panels(findings))?;
    let out = out.as_ref();
    let mut folder = Folder::new(out);
    folder.write("recovery.json", (json(findings)? + "\n").as_bytes())?;
    folder.write("recovery.md", markdown(findings).as_bytes())?;
    folder.write("recovery.png", &png(figure)?)?;
    Ok(folder.written)
}
