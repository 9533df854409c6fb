//! The settings of a run: a TOML file, overridden by flags.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::run::settings_file::{from_table, read_table};

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
    let mut table = file.map(read_table).transpose()?.unwrap_or_default();
    for Override { key, value } in overrides {
        insert(&mut table, &key, value)?;
    }
    from_table(table, &place)
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
