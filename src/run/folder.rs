//! A run's output folder.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::export::RUN_FILE;
use crate::weights::{remove_unfinished, write_atomically};

pub(crate) struct RunFolder {
    pub(crate) path: PathBuf,
    /// Whether another process writes the folder, and this one nothing.
    elsewhere: bool,
    run: Value,
    /// The record of the run that is gone on with.
    before: Value,
    since: Instant,
}

/// What a run is computed by and what may change when it goes on, as pointers into its record.
const HOW: [&str; 5] =
    ["/precision", "/ranks", "/parts", "/config/train/accumulate", "/config/train/recompute"];

impl RunFolder {
    /// Checks that there is no other run in a folder but for one to `resume`.
    ///
    /// # Errors
    /// [`Error::RunExists`].
    pub(crate) fn check_free(path: &Path, resume: bool) -> Result<()> {
        match path.join(RUN_FILE).exists() && !resume {
            true => Err(Error::RunExists { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Makes the folder, or takes an old run's with `resume`. `since` is when this process began
    /// to work on the run.
    pub(crate) fn prepare(
        out: Option<&Path>,
        resume: bool,
        command: &str,
        device: &str,
        seed: u64,
        config: &impl Serialize,
        since: Instant,
    ) -> Result<Self> {
        let path = out.ok_or(Error::Missing("output folder"))?.to_owned();
        Self::check_free(&path, resume)?;
        let file = path.join(RUN_FILE);
        let before = std::fs::read(&file).ok();
        let before = before.and_then(|text| serde_json::from_slice(&text).ok());
        let before: Value = before.unwrap_or_default();
        std::fs::create_dir_all(&path).map_err(|error| Error::io(&path, error))?;
        remove_unfinished(&path)?;
        let run = json!({
            "command": command,
            "started": now(),
            "device": device,
            "seed": seed,
            "versions": versions(),
            "config": config,
        });
        let mut folder = Self { path, elsewhere: false, run, before, since };
        folder.write()?;
        Ok(folder)
    }

    /// The folder of a run that another process writes; here nothing is.
    pub(crate) fn elsewhere(out: Option<&Path>) -> Result<Self> {
        let path = out.ok_or(Error::Missing("output folder"))?.to_owned();
        let (run, before) = (json!({}), Value::Null);
        Ok(Self { path, elsewhere: true, run, before, since: Instant::now() })
    }

    /// Adds a result and writes `run.json` anew.
    pub(crate) fn record(&mut self, key: &str, value: impl Serialize) -> Result<()> {
        self.run[key] = serde_json::to_value(value)
            .map_err(|error| Error::io(&self.path, std::io::Error::other(error)))?;
        self.write()
    }

    /// Keeps a result that the run had before it was resumed.
    pub(crate) fn keep(&mut self, key: &str) -> Result<()> {
        match self.before.get(key).cloned() {
            Some(value) => self.record(key, value),
            None => Ok(()),
        }
    }

    /// How the run is computed in another way than before it was resumed, a line each.
    pub(crate) fn changed(&self) -> Vec<String> {
        let change = |key: &str| {
            let (old, new) = (self.before.pointer(key)?, self.run.pointer(key)?);
            let name = key[1..].trim_start_matches("config/").replace('/', ".");
            (old != new).then(|| format!("{name} was {old}, now {new}"))
        };
        HOW.into_iter().filter_map(change).collect()
    }

    /// Notes when the run ended.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.record("finished", now())
    }

    /// Writes `run.json` with the seconds that the run took so far, those of the processes
    /// before included, as far as they could note them.
    pub(crate) fn write(&mut self) -> Result<()> {
        if self.elsewhere {
            return Ok(());
        }
        let before = self.before["seconds"].as_f64().unwrap_or_default();
        let seconds = before + self.since.elapsed().as_secs_f64();
        self.run["seconds"] = json!((seconds * 1e3).round() / 1e3);
        let text = serde_json::to_string_pretty(&self.run).unwrap_or_default() + "\n";
        write_atomically(&self.path.join(RUN_FILE), text.as_bytes())
    }
}

/// Seconds since 1970, UTC.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// This crate's version, and burn's and wgpu's as the manifest asks for them.
pub(crate) fn versions() -> Value {
    let manifest: toml::Table =
        toml::from_str(include_str!("../../Cargo.toml")).unwrap_or_default();
    let wanted = |name: &str| {
        let version = manifest.get("dependencies").and_then(|all| all.get(name)?.get("version"));
        version.and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    json!({
        "singer": env!("CARGO_PKG_VERSION"),
        "burn": wanted("burn"),
        "wgpu": wanted("wgpu"),
    })
}
