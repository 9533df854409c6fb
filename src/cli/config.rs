//! The settings of a run: a TOML file, overridden by flags.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};

/// One setting given on the command line.
pub(super) struct Override {
    key: String,
    value: Value,
}

impl Override {
    pub(super) fn new(key: &str, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// Parses `KEY=VALUE`; a value that is not TOML is taken as a string.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::config(format!("--set {text}: write it as KEY=VALUE")));
        };
        let (key, value) = (key.trim(), value.trim());
        let parsed = toml::from_str::<Table>(&format!("x = {value}"));
        let value = match parsed.ok().and_then(|mut table| table.remove("x")) {
            Some(parsed) => parsed,
            None => Value::String(value.into()),
        };
        Ok(Self { key: key.into(), value })
    }
}

/// Reads a config file, if any, and applies overrides.
pub(super) fn read<C: DeserializeOwned>(
    file: Option<&Path>,
    overrides: impl IntoIterator<Item = Override>,
) -> Result<C> {
    let place = file.map_or("settings".to_owned(), |path| path.display().to_string());
    let mut table = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            toml::from_str::<Table>(&text)
                .map_err(|error| Error::config(one_line(&place, &error.to_string())))?
        }
        None => Table::new(),
    };
    for Override { key, value } in overrides {
        insert(&mut table, &key, value)?;
    }
    // A section that names no kind means the default one.
    for (section, kind) in [("optimizer", "adamw"), ("schedule", "cosine")] {
        if let Some(Value::Table(section)) = table.get_mut(section) {
            section.entry("name").or_insert_with(|| kind.into());
        }
    }
    C::deserialize(Value::Table(table))
        .map_err(|error| Error::config(one_line(&place, &error.to_string())))
}

fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let (folders, last) = match key.rsplit_once('.') {
        Some((folders, last)) => (Some(folders), last),
        None => (None, key),
    };
    let mut place = table;
    for folder in folders.iter().flat_map(|folders| folders.split('.')) {
        let entry = place.entry(folder).or_insert_with(|| Value::Table(Table::new()));
        place = match entry {
            Value::Table(table) => table,
            _ => {
                return Err(Error::config(format!(
                    "--set {key}: {folder} is a value, not a section"
                )));
            }
        };
    }
    place.insert(last.into(), value);
    Ok(())
}

/// serde's message in one line, with the nearest known key for a mistyped one.
fn one_line(place: &str, message: &str) -> String {
    let flat = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let mut quoted = flat.split('`').skip(1).step_by(2);
    if flat.contains("unknown field") || flat.contains("unknown variant") {
        let wrong = quoted.next().unwrap_or_default().to_owned();
        let nearest = quoted.filter(|known| !known.is_empty()).max_by(|a, b| {
            strsim::jaro_winkler(a, &wrong).total_cmp(&strsim::jaro_winkler(b, &wrong))
        });
        if let Some(nearest) = nearest {
            let kind = if flat.contains("unknown field") { "key" } else { "value" };
            return format!("{place}: unknown {kind} `{wrong}`; did you mean `{nearest}`?");
        }
    }
    format!("{place}: {flat}")
}
