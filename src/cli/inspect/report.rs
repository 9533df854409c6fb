//! What an inspection writes.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::inspect::Findings;
use crate::maps::FeatureMaps;
use crate::weights::write_atomically;

/// Writes the findings into a folder, and gives the files.
pub(super) fn write(findings: &Findings, _maps: &FeatureMaps, out: &Path) -> Result<Vec<PathBuf>> {
    let path = out.join("inspect.json");
    let text = serde_json::to_string_pretty(findings)
        .map_err(|error| Error::config(format!("the findings cannot be written: {error}")))?;
    write_atomically(&path, (text + "\n").as_bytes())?;
    Ok(vec![path])
}
