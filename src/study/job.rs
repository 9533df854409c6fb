use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use super::plan::{Plan, StudyMetric, StudyProbe, file_name};
use super::{ProbeJob, TrainJob, Worker};
use crate::error::{Error, Result};
use crate::export::{RUN_FILE, STUDENT};
use crate::weights::write_atomically;

/// Settings with which the run was started.
const SETTINGS: &str = "study.toml";
/// Written when the student is finished.
const TRAINED: &str = "trained";
/// Locked by the process that does the job.
const LOCK: &str = "lock";

/// A student to train and measure, or a model to measure.
#[derive(Debug, Clone)]
pub struct Job {
    name: String,
    seed: Option<u64>,
    settings: Option<Table>,
    weights: PathBuf,
    folder: PathBuf,
    /// Where what its teacher computes is kept, and bytes.
    teacher_cache: Option<(PathBuf, u64)>,
}

/// A probe's `run` and its result.
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
            teacher_cache: None,
        });
        let runs = plan.seeds.iter().flat_map(|&seed| {
            plan.variants.iter().map(move |variant| {
                let runs = plan.out.join("runs").join(file_name(&variant.name));
                let folder = runs.join(format!("seed-{seed}"));
                Self {
                    name: variant.name.clone(),
                    seed: Some(seed),
                    settings: Some(plan.settings(variant, seed)),
                    weights: folder.join(STUDENT),
                    folder,
                    teacher_cache: plan.teacher_cache(seed),
                }
            })
        });
        models.chain(runs).collect()
    }

    /// Name of the variant or model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seed of the run; none for a model that is not trained by the study.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Name and seed, for people.
    pub fn title(&self) -> String {
        match self.seed {
            Some(seed) => format!("{}, seed {seed}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self, probes: &[StudyProbe]) -> bool {
        self.is_trained() && probes.iter().all(|probe| self.measured(probe).is_some())
    }

    /// Refuses to mix results of different settings.
    pub(super) fn check(&self) -> Result<()> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let path = self.folder.join(SETTINGS);
        let Ok(stored) = fs::read_to_string(&path) else { return Ok(()) };
        if stored.parse::<Table>().ok().as_ref() == Some(settings) {
            return Ok(());
        }
        Err(Error::OtherSettings { folder: self.folder.clone() })
    }

    /// Takes the job, so that no other process does it; the system gives it back when the file is
    /// dropped or the process ends. None where another has it.
    pub(super) fn claim(&self) -> Result<Option<File>> {
        fs::create_dir_all(&self.folder).map_err(|error| Error::io(&self.folder, error))?;
        let path = self.folder.join(LOCK);
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io(&path, error)),
        }
    }

    /// Does what is left to do on a device. The caller has claimed the job.
    pub(super) fn work(
        &self,
        probes: &[StudyProbe],
        device: &str,
        worker: &dyn Worker,
        claim: &File,
        stop: &Arc<AtomicBool>,
    ) -> Result<()> {
        if let Some(table) = &self.settings
            && !self.is_trained()
        {
            let settings = &self.write_settings(table)?;
            worker.train(&TrainJob { job: self, settings, table, device, claim, stop })?;
            write_atomically(&self.folder.join(TRAINED), b"")?;
        }
        for probe in probes.iter().filter(|probe| self.measured(probe).is_none()) {
            let result = worker.probe(&ProbeJob { job: self, probe, device, claim })?;
            self.keep(probe, result)?;
        }
        Ok(())
    }

    /// The file with the run's settings.
    fn write_settings(&self, settings: &Table) -> Result<PathBuf> {
        let path = self.folder.join(SETTINGS);
        let text = toml::to_string(settings).map_err(|error| Error::Job {
            job: self.title(),
            reason: format!("its settings cannot be written ({error})"),
        })?;
        write_atomically(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Keeps what a probe measured.
    fn keep(&self, probe: &StudyProbe, result: Value) -> Result<()> {
        for metric in &probe.metrics {
            value(&result, metric).ok_or_else(|| Error::NoMetric {
                probe: probe.name.clone(),
                at: metric.at.clone(),
                found: numbers_beside(&metric.at, &result),
            })?;
        }
        let measured = Measured { run: probe.run.clone(), result };
        let bytes = serde_json::to_vec_pretty(&measured).unwrap_or_default();
        write_atomically(&self.probe_file(probe), &bytes)
    }

    /// The page of its training from the study's folder, where it is written.
    pub(super) fn report(&self, out: &Path) -> Option<String> {
        let page = self.folder.join("report.html");
        let page = page.is_file().then(|| page.strip_prefix(out).ok().map(Path::to_owned))??;
        let parts: Vec<_> = page.iter().map(|part| part.to_string_lossy()).collect();
        Some(parts.join("/"))
    }

    /// The job's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where what its teacher computes is kept for the other runs of its seed, and the bytes at
    /// most; none where the study keeps nothing.
    pub fn teacher_cache(&self) -> Option<(&Path, u64)> {
        self.teacher_cache.as_ref().map(|(folder, bytes)| (folder.as_path(), *bytes))
    }

    /// Whether there is nothing to train, or no more.
    pub(super) fn is_trained(&self) -> bool {
        self.settings.is_none() || self.folder.join(TRAINED).is_file()
    }

    /// The weights that are measured.
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    fn probe_file(&self, probe: &StudyProbe) -> PathBuf {
        self.folder.join(format!("{}.json", probe.file_name()))
    }

    fn measured(&self, probe: &StudyProbe) -> Option<Value> {
        let bytes = fs::read(self.probe_file(probe)).ok()?;
        let measured: Measured = serde_json::from_slice(&bytes).ok()?;
        (measured.run == probe.run).then_some(measured.result)
    }

    /// The seconds that a finished run took.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.of_run("/seconds")
    }

    /// The largest over the median patch norm of a finished run's student.
    pub(super) fn student_norms(&self) -> Option<f64> {
        self.of_run("/result/student_norms/max_over_median")
    }

    /// A number of a finished run's own record.
    fn of_run(&self, at: &str) -> Option<f64> {
        if !self.is_trained() {
            return None;
        }
        let run: Value =
            serde_json::from_slice(&fs::read(self.folder.join(RUN_FILE)).ok()?).ok()?;
        run.pointer(at)?.as_f64()
    }

    /// A metric's number, once measured.
    pub(super) fn value(&self, probe: &StudyProbe, metric: &StudyMetric) -> Option<f64> {
        value(&self.measured(probe)?, metric)
    }
}

fn value(result: &Value, metric: &StudyMetric) -> Option<f64> {
    Some(result.pointer(&metric.at)?.as_f64()? * metric.times)
}

/// Pointers to all numbers in the section of the result that `at` points into, or in all of
/// it where there is no such section.
fn numbers_beside(at: &str, result: &Value) -> Vec<String> {
    let section = at.split('/').nth(1).unwrap_or_default();
    match result.get(section) {
        Some(value) => numbers(value, &format!("/{section}")),
        None => numbers(result, ""),
    }
}

/// Pointers to all numbers below `at`, except those in arrays.
fn numbers(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Number(_) => vec![at.to_owned()],
        Value::Object(items) => {
            items.iter().flat_map(|(key, value)| numbers(value, &format!("{at}/{key}"))).collect()
        }
        _ => Vec::new(),
    }
}
