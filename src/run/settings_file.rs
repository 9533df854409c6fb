//! Settings as TOML files hold them.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};

/// The table in a TOML file.
pub(crate) fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    toml::from_str(&text).map_err(|error| settings_error(&path.display(), &error.to_string()))
}

/// Settings from a table; `place` says in messages where it comes from.
pub(crate) fn from_table<C: DeserializeOwned>(mut table: Table, place: &str) -> Result<C> {
    // A section that names no kind means the default one.
    for (section, kind) in [("optimizer", "adamw"), ("schedule", "cosine")] {
        if let Some(Value::Table(section)) = table.get_mut(section) {
            section.entry("name").or_insert_with(|| kind.into());
        }
    }
    C::deserialize(Value::Table(table)).map_err(|error| settings_error(&place, &error.to_string()))
}

/// serde's message in one line, with the nearest known key for a mistyped one.
fn settings_error(place: &dyn std::fmt::Display, message: &str) -> Error {
    let flat = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let mut quoted = flat.split('`').skip(1).step_by(2);
    let mut reason = flat.clone();
    if flat.contains("unknown field") || flat.contains("unknown variant") {
        let wrong = quoted.next().unwrap_or_default().to_owned();
        let nearest = quoted.filter(|known| !known.is_empty()).max_by(|a, b| {
            strsim::jaro_winkler(a, &wrong).total_cmp(&strsim::jaro_winkler(b, &wrong))
        });
        if let Some(nearest) = nearest {
            let kind = if flat.contains("unknown field") { "key" } else { "value" };
            reason = format!("unknown {kind} `{wrong}`; did you mean `{nearest}`?");
        }
    }
    Error::SettingsFile { place: place.to_string(), reason }
}
