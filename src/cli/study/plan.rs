use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::cli::config;
use crate::error::{Error, Result};

/// A study's file: what is trained, what is measured, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Folder for everything that the study writes.
    pub(super) out: PathBuf,
    pub(super) title: Option<String>,
    pub(super) seeds: Vec<u64>,
    /// As `--device` takes them; each does one job at a time.
    #[serde(default = "automatic")]
    pub(super) devices: Vec<String>,
    /// Settings of `singer distill` that all variants share.
    #[serde(default)]
    pub(super) base: Table,
    #[serde(default, rename = "variant")]
    pub(super) variants: Vec<Variant>,
    /// Models that are measured as they are.
    #[serde(default, rename = "model")]
    pub(super) models: Vec<Model>,
    #[serde(rename = "probe")]
    pub(super) probes: Vec<Probe>,
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

/// A `singer probe` command, and which of its numbers are wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    pub(super) name: String,
    /// Its arguments as on the command line, without weights and device.
    pub(super) run: Vec<String>,
    #[serde(rename = "metric")]
    pub(super) metrics: Vec<Metric>,
}

/// A number of a probe's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metric {
    pub(super) name: String,
    /// Its place, such as `/top1` (RFC 6901).
    pub(super) at: String,
    #[serde(default)]
    pub(super) lower_is_better: bool,
    /// What the number is multiplied by, 100 for per cent.
    #[serde(default = "one")]
    pub(super) times: f64,
}

fn automatic() -> Vec<String> {
    vec!["auto".into()]
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl Plan {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let plan: Self = config::read(Some(path), [])?;
        let fault = |text: String| Err(Error::config(format!("{}: {text}", path.display())));
        if plan.seeds.is_empty() || plan.devices.is_empty() || plan.probes.is_empty() {
            return fault("seeds, devices and [[probe]] must not be empty".into());
        }
        if plan.variants.is_empty() && plan.models.is_empty() {
            return fault("add at least one [[variant]] or [[model]]".into());
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
                return fault(format!("probe {:?} lacks `run` or a [[probe.metric]]", probe.name));
            }
        }
        Ok(plan)
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
