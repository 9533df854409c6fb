use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use super::plan::{Metric, Plan, Probe, file_name};
use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// The variant's settings with which a run was started.
const SETTINGS: &str = "study.toml";
/// Written when the student is finished.
const TRAINED: &str = "trained";

/// A student to train and measure, or a model to measure.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) name: String,
    /// None for a model that is not trained here.
    pub(super) seed: Option<u64>,
    settings: Option<Table>,
    weights: PathBuf,
    folder: PathBuf,
}

/// A probe's arguments and what it printed.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    run: Vec<String>,
    result: Value,
}

impl Job {
    /// All jobs of a study, seed by seed, so that an unfinished one compares like
    /// with like.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let models = plan.models.iter().map(|model| Self {
            name: model.name.clone(),
            seed: None,
            settings: None,
            weights: model.weights.clone(),
            folder: plan.out.join("models").join(file_name(&model.name)),
        });
        let runs = plan.seeds.iter().flat_map(|&seed| {
            plan.variants.iter().map(move |variant| {
                let runs = plan.out.join("runs").join(file_name(&variant.name));
                let folder = runs.join(format!("seed-{seed}"));
                Self {
                    name: variant.name.clone(),
                    seed: Some(seed),
                    settings: Some(plan.settings(variant, seed)),
                    weights: folder.join("student.safetensors"),
                    folder,
                }
            })
        });
        models.chain(runs).collect()
    }

    pub(super) fn title(&self) -> String {
        match self.seed {
            Some(seed) => format!("{}, seed {seed}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self, probes: &[Probe]) -> bool {
        let trained = self.settings.is_none() || self.folder.join(TRAINED).is_file();
        trained && probes.iter().all(|probe| self.measured(probe).is_some())
    }

    /// Refuses to mix results of different settings.
    pub(super) fn check(&self) -> Result<()> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let path = self.folder.join(SETTINGS);
        let Ok(stored) = fs::read_to_string(&path) else { return Ok(()) };
        if stored.parse::<Table>().ok().as_ref() == Some(settings) {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} was made with other settings; remove the folder to train it again, or choose another `out`",
            self.folder.display()
        )))
    }

    /// Does what is left to do on a device.
    pub(super) fn work(&self, probes: &[Probe], device: &str) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(|error| Error::io(&self.folder, error))?;
        if let Some(settings) = &self.settings {
            self.train(settings, device)?;
        }
        for probe in probes.iter().filter(|probe| self.measured(probe).is_none()) {
            self.measure(probe, device)?;
        }
        Ok(())
    }

    fn train(&self, settings: &Table, device: &str) -> Result<()> {
        let trained = self.folder.join(TRAINED);
        if trained.is_file() {
            return Ok(());
        }
        let path = self.folder.join(SETTINGS);
        let text = toml::to_string(settings).map_err(|error| Error::config(error.to_string()))?;
        write_atomically(&path, text.as_bytes())?;
        let mut command = singer()?;
        command.arg("distill").arg("--config").arg(&path).args(["--device", device]);
        command.arg("--out").arg(&self.folder);
        if self.folder.join("run.json").is_file() {
            command.arg("--resume");
        }
        self.run(command, "train")?;
        write_atomically(&trained, b"")
    }

    fn measure(&self, probe: &Probe, device: &str) -> Result<()> {
        let mut command = singer()?;
        command.arg("probe").args(&probe.run).arg(&self.weights);
        command.args(["--device", device, "--json"]);
        let log = self.run(command, &file_name(&probe.name))?;
        let text = fs::read(&log).map_err(|error| Error::io(&log, error))?;
        let result: Value = serde_json::from_slice(&text)
            .map_err(|error| Error::data(&log, format!("is not the JSON of a probe ({error})")))?;
        for metric in &probe.metrics {
            value(&result, metric).ok_or_else(|| {
                let there = numbers(&result["result"], "/result").join(", ");
                let reason = format!("has no number at {:?}; there are {there}", metric.at);
                Error::data(&log, reason)
            })?;
        }
        let measured = Measured { run: probe.run.clone(), result };
        let bytes = serde_json::to_vec_pretty(&measured).unwrap_or_default();
        write_atomically(&self.probe_file(probe), &bytes)
    }

    /// Runs a command with its output in files of the job's folder; the path of
    /// what it printed.
    fn run(&self, mut command: Command, name: &str) -> Result<PathBuf> {
        let file = |ending: &str| -> Result<(PathBuf, File)> {
            let path = self.folder.join(format!("{name}.{ending}"));
            let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
            Ok((path, file))
        };
        let (printed, out) = file("out")?;
        let (errors, err) = file("err")?;
        let program = PathBuf::from(command.get_program());
        let status = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .map_err(|error| Error::io(program, error))?;
        if status.success() {
            return Ok(printed);
        }
        let text = fs::read_to_string(&errors).unwrap_or_default();
        let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
        let line = line.strip_prefix("singer: ").unwrap_or(line);
        Err(Error::config(format!("{}: {line} (see {})", self.title(), errors.display())))
    }

    fn probe_file(&self, probe: &Probe) -> PathBuf {
        self.folder.join(format!("{}.json", file_name(&probe.name)))
    }

    fn measured(&self, probe: &Probe) -> Option<Value> {
        let bytes = fs::read(self.probe_file(probe)).ok()?;
        let measured: Measured = serde_json::from_slice(&bytes).ok()?;
        (measured.run == probe.run).then_some(measured.result)
    }

    /// A metric's number, once measured.
    pub(super) fn value(&self, probe: &Probe, metric: &Metric) -> Option<f64> {
        value(&self.measured(probe)?, metric)
    }
}

fn value(result: &Value, metric: &Metric) -> Option<f64> {
    Some(result.pointer(&metric.at)?.as_f64()? * metric.times)
}

/// The places of all numbers below `at`, but for those in lists.
fn numbers(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Number(_) => vec![at.to_owned()],
        Value::Object(items) => {
            items.iter().flat_map(|(key, value)| numbers(value, &format!("{at}/{key}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// This very program.
fn singer() -> Result<Command> {
    std::env::current_exe().map(Command::new).map_err(|error| Error::io(Path::new("singer"), error))
}
