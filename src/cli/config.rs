//! The settings of a run: a TOML file, overridden by flags.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::{CropMode, Interpolation, Preprocess};
use crate::distill::singer::SingerSettings;
use crate::distill::{FitnetSettings, KdSettings, VitkdSettings};
use crate::error::{Error, Result};
use crate::model::{ModelSpec, PreprocessOptions};
use crate::train::{OptimizerSettings, Schedule};

/// `singer distill`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DistillConfig {
    pub(super) seed: u64,
    pub(super) device: DeviceName,
    pub(super) precision: Precision,
    pub(super) out: Option<PathBuf>,
    pub(super) teacher: ModelSpec,
    pub(super) student: ModelSpec,
    pub(super) data: DataConfig,
    pub(super) method: MethodName,
    pub(super) label_weight: f64,
    /// Adapters to start from: of `singer fit`, or `singer.safetensors` of a run.
    pub(super) adapters: Option<PathBuf>,
    pub(super) singer: SingerSettings,
    pub(super) fitnet: FitnetSettings,
    pub(super) vitkd: VitkdSettings,
    pub(super) kd: KdSettings,
    pub(super) optimizer: OptimizerSettings,
    pub(super) schedule: Schedule,
    pub(super) train: TrainConfig,
}

/// `singer pretrain`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PretrainConfig {
    pub(super) seed: u64,
    pub(super) device: DeviceName,
    pub(super) out: Option<PathBuf>,
    pub(super) model: ModelSpec,
    pub(super) data: DataConfig,
    pub(super) optimizer: OptimizerSettings,
    pub(super) schedule: Schedule,
    pub(super) train: TrainConfig,
    pub(super) label_smoothing: f64,
}

/// As [`Device::open`](crate::Device::open) takes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeviceName(pub(super) String);

impl Default for DeviceName {
    fn default() -> Self {
        Self("auto".into())
    }
}

/// How the student is taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MethodName {
    #[default]
    Singer,
    Fitnet,
    /// Projections, generators and mask token trained with the student.
    Vitkd,
    /// As published: generators and mask token stay at their random start.
    VitkdReference,
    Kd,
    /// Labels alone.
    None,
}

/// Precision of the teacher; all that is trained is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Precision {
    #[default]
    F32,
    F16,
}

/// Images and how they become tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DataConfig {
    pub(super) path: Option<String>,
    pub(super) val: Option<String>,
    pub(super) workers: usize,
    pub(super) mean: Option<[f32; 3]>,
    pub(super) std: Option<[f32; 3]>,
    pub(super) scale: [f64; 2],
    pub(super) ratio: [f64; 2],
    pub(super) flip: f64,
    pub(super) crop_pct: Option<f64>,
    pub(super) crop_mode: Option<CropMode>,
    pub(super) interpolation: Option<Interpolation>,
    pub(super) max_unreadable: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: None,
            val: None,
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            mean: None,
            std: None,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            crop_pct: None,
            crop_mode: None,
            interpolation: None,
            max_unreadable: 0.01,
        }
    }
}

impl DataConfig {
    /// How images are prepared for a model whose own preparation is `own`.
    pub(super) fn preprocess(&self, own: Preprocess) -> Result<Preprocess> {
        let Self { crop_pct, crop_mode, interpolation, mean, std, .. } = *self;
        PreprocessOptions { crop_pct, crop_mode, interpolation, mean, std }.over(own)
    }
}

/// Length and rhythm of training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TrainConfig {
    pub(super) batch: usize,
    pub(super) epochs: f64,
    pub(super) steps: Option<usize>,
    pub(super) clip: Option<f64>,
    pub(super) log_every: usize,
    pub(super) checkpoint_every: usize,
    pub(super) measure: usize,
    pub(super) threads: Option<usize>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 64,
            epochs: 100.0,
            steps: None,
            clip: None,
            log_every: 10,
            checkpoint_every: 500,
            measure: 256,
            threads: None,
        }
    }
}

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
