use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::run::settings_file::{from_table, read_table};

/// Folder of what teachers compute, within the study's.
pub(super) const TEACHER_CACHE: &str = "teacher-cache";

/// A study's file: what is trained, what is measured, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Folder for everything that the study writes.
    pub(super) out: PathBuf,
    pub(super) title: Option<String>,
    pub(super) seeds: Vec<u64>,
    /// As [`Device::open`](crate::Device::open) takes them; each does one job at a time.
    #[serde(default = "automatic")]
    pub(super) devices: Vec<String>,
    /// GB that may be kept of what teachers compute, for the other runs of the same seed; 0
    /// keeps nothing.
    #[serde(default = "cache_gb")]
    pub(super) teacher_cache_gb: f64,
    /// Settings of a distillation that all variants share.
    #[serde(default)]
    pub(super) base: Table,
    #[serde(default, rename = "variant")]
    pub(super) variants: Vec<Variant>,
    /// Models that are measured as they are.
    #[serde(default, rename = "model")]
    pub(super) models: Vec<Model>,
    #[serde(rename = "probe")]
    pub(super) probes: Vec<StudyProbe>,
}

/// Settings under a name, trained once for each seed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variant {
    pub(super) name: String,
    /// Whether the others are tested against it where it is the best of these.
    #[serde(default)]
    pub(super) baseline: bool,
    /// Whether it has a line in the radar chart.
    #[serde(default = "yes")]
    pub(super) chart: bool,
    #[serde(default)]
    pub(super) set: Table,
}

/// A model that is not trained by the study.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) weights: PathBuf,
    #[serde(default = "yes")]
    pub(super) chart: bool,
}

/// A measurement, and which of its numbers a study compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StudyProbe {
    /// Its name.
    pub name: String,
    /// What is measured, in the words of the [`Worker`](super::Worker) that does it: for
    /// `singer study` the arguments of `singer probe` without weights and device.
    pub run: Vec<String>,
    /// The numbers that are compared.
    #[serde(rename = "metric")]
    pub metrics: Vec<StudyMetric>,
}

/// A number in the JSON that a probe gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StudyMetric {
    /// Its name.
    pub name: String,
    /// Its place, such as `/result/test/top1` (RFC 6901).
    pub at: String,
    /// Whether less is better.
    #[serde(default)]
    pub lower_is_better: bool,
    /// What the number is multiplied by, 100 for per cent.
    #[serde(default = "one")]
    pub times: f64,
}

fn automatic() -> Vec<String> {
    vec!["auto".into()]
}

fn cache_gb() -> f64 {
    8.0
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl StudyProbe {
    /// Its name as a file's: letters, digits and dashes.
    pub fn file_name(&self) -> String {
        file_name(&self.name)
    }
}

impl Plan {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let plan: Self = from_table(read_table(path)?, &place)?;
        let fault = |reason: String| Err(Error::SettingsFile { place: place.clone(), reason });
        if plan.seeds.is_empty() || plan.devices.is_empty() || plan.probes.is_empty() {
            return fault("seeds, devices and probes must not be empty".into());
        }
        if plan.variants.is_empty() && plan.models.is_empty() {
            return fault("there is neither a variant nor a model".into());
        }
        if !(plan.teacher_cache_gb >= 0.0 && plan.teacher_cache_gb.is_finite()) {
            return fault("teacher_cache_gb must be 0 or more".into());
        }
        let mut seeds = HashSet::new();
        if let Some(twice) = plan.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            return fault(format!("the seed {twice} is listed twice"));
        }
        let subjects = plan.variants.iter().map(|variant| &variant.name);
        let subjects: Vec<_> =
            subjects.chain(plan.models.iter().map(|model| &model.name)).collect();
        let probes: Vec<_> = plan.probes.iter().map(|probe| &probe.name).collect();
        for (kind, names) in [("variant or model", subjects), ("probe", probes)] {
            let mut files = HashSet::new();
            for name in names {
                let file = file_name(name);
                if file.is_empty() || !files.insert(file) {
                    return fault(format!("{kind} {name:?}: choose a name unlike the others'"));
                }
            }
        }
        for probe in &plan.probes {
            if probe.run.is_empty() || probe.metrics.is_empty() {
                return fault(format!("the probe {:?} lacks `run` or a metric", probe.name));
            }
        }
        Ok(plan)
    }

    /// Where what teachers compute for runs of a seed is kept, and its bytes at most.
    pub(super) fn teacher_cache(&self, seed: u64) -> Option<(PathBuf, u64)> {
        let bytes = (1e9 * self.teacher_cache_gb) as u64;
        (bytes > 0).then(|| (self.out.join(TEACHER_CACHE).join(format!("seed-{seed}")), bytes))
    }

    /// The settings of a variant's run with a seed.
    pub(super) fn settings(&self, variant: &Variant, seed: u64) -> Table {
        let mut settings = self.base.clone();
        merge(&mut settings, &variant.set);
        settings.insert("seed".into(), Value::Integer(seed as i64));
        settings
    }
}

/// Puts the values of `from` over those of `table`, section by section.
fn merge(table: &mut Table, from: &Table) {
    for (key, value) in from {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(from)) => merge(inner, from),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// A name as a file's: letters, digits and dashes.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let dashed: String = name.chars().map(plain).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_changes_single_settings_and_keeps_the_rest_of_their_section() {
        let parse = |text: &str| text.parse::<Table>().unwrap();
        let mut settings = parse("lr = 1\n[singer]\nrank = 4\nquantile = 0.9");
        merge(&mut settings, &parse("[singer]\nrank = 8\n[student]\ndepth = 2"));
        assert_eq!(
            settings,
            parse("lr = 1\n[singer]\nrank = 8\nquantile = 0.9\n[student]\ndepth = 2")
        );
    }

    #[test]
    fn names_become_files() {
        assert_eq!(file_name("SiNGER, rank 8 (γ = 0.9)"), "singer-rank-8-0-9");
        assert_eq!(file_name("γ"), "");
    }
}
