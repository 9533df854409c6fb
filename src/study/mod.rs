//! Studies: methods trained with several seeds, measured alike and compared.
//!
//! A study is a TOML file: `base` settings of a distillation, a `variant` for each method,
//! `seeds`, models that are measured as they are, and what is measured (`probe`).
//! [`Study::run`] does what is left to do; [`Study::results`] gathers the numbers, which
//! `report::study` (feature `figures`) draws.
//!
//! ```
//! use serde_json::json;
//! use singer::data::{ClassifySet, Split};
//! use singer::probe::Classification;
//! use singer::study::{ProbeJob, Study};
//! use singer::{Device, Model};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("study.toml");
//! # let out = folder.path().join("study");
//! # let text = format!(r#"out = {out:?}
//! # seeds = [0, 1]
//! # devices = ["cpu"]
//! # [base]
//! # data.path = "scenes:16"
//! # teacher.weights = "assets/demo-teacher.safetensors"
//! # student = {{ arch = "vit_tiny_patch16_224", embed_dim = 16, depth = 2, num_heads = 2 }}
//! # singer = {{ layers = [], rank = 4 }}
//! # train = {{ batch = 8, steps = 1 }}
//! # [[variant]]
//! # name = "SiNGER"
//! # [[probe]]
//! # name = "scenes"
//! # run = ["scenes"]
//! # metric = [{{ name = "top-1", at = "/test/top1" }}]
//! # "#);
//! # std::fs::write(&file, text).unwrap();
//! let study = Study::open(file)?;
//! // Students are trained in this process; how they are measured is yours to say.
//! let measure = |job: &ProbeJob<'_>| -> singer::Result<_> {
//!     let model = Model::open(job.job().weights(), &Device::open(job.device())?)?;
//!     let train = ClassifySet::open("scenes:16", Split::Train)?;
//!     let test = ClassifySet::open("scenes:16-32", Split::Test)?;
//!     let mut probe = Classification::default();
//!     probe.fit.epochs = 2;
//!     Ok(json!(probe.run(&model, &train, Some(&test), &[], |_| {})?.scores))
//! };
//! let outcome = study.run(&measure, &|_event| {});
//! assert!(outcome.failures.is_empty());
//! let results = study.results();
//! assert_eq!(results.rows[0].cells[0].values.len(), 2); // one for each seed
//! # Ok::<(), singer::Error>(())
//! ```

mod job;
mod plan;
mod results;
mod run;
mod statistics;

pub use job::Job;
pub use plan::{StudyMetric, StudyProbe};
pub use results::{Cell, Column, Metric, Results, Row};
pub use run::{JobState, ProbeJob, StudyEvent, StudyOutcome, TrainJob, Worker};
pub use statistics::{PairedTest, Summary, holm, paired_test};

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::Result;
use plan::Plan;

/// A study and its jobs.
#[derive(Debug)]
pub struct Study {
    plan: Plan,
    jobs: Vec<Job>,
    stop: Arc<AtomicBool>,
}

impl Study {
    /// Reads a study's file. Results that its folder already holds are kept.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::SettingsFile`](crate::Error::SettingsFile)
    /// for a plan that cannot be; [`Error::OtherSettings`](crate::Error::OtherSettings) where
    /// the folder holds a run of a variant that has changed since.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let plan = Plan::read(file.as_ref())?;
        let jobs = Job::all(&plan);
        jobs.iter().try_for_each(Job::check)?;
        Ok(Self { plan, jobs, stop: Arc::default() })
    }

    /// The devices to use instead of the file's, as [`Device::open`](crate::Device::open)
    /// takes them; each does one job at a time.
    #[must_use]
    pub fn devices(mut self, devices: impl Into<Vec<String>>) -> Self {
        self.plan.devices = devices.into();
        self
    }

    /// A flag that stops the study: no job is begun any more, and runs save what they have.
    #[must_use]
    pub fn stop(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// The study's folder.
    pub fn out(&self) -> &Path {
        &self.plan.out
    }

    /// All jobs: models, then runs seed by seed, so that an unfinished study compares like
    /// with like.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Whether a job has nothing left to do.
    pub fn is_done(&self, job: &Job) -> bool {
        job.is_done(&self.plan.probes)
    }

    /// The results of the jobs done so far.
    pub fn results(&self) -> Results {
        let Plan { title, seeds, models, variants, probes, .. } = &self.plan;
        let metrics =
            || probes.iter().flat_map(|probe| probe.metrics.iter().map(move |m| (probe, m)));
        let of_jobs = |name: &str, number: &dyn Fn(&Job) -> Option<f64>| -> Vec<Option<f64>> {
            self.jobs.iter().filter(|job| job.name() == name).map(number).collect()
        };
        let reports = |name: &str| {
            let jobs = self.jobs.iter().filter(|job| job.name() == name);
            jobs.map(|job| job.report(&self.plan.out)).collect()
        };
        let values = |name: &str| -> Vec<Vec<Option<f64>>> {
            metrics().map(|(probe, m)| of_jobs(name, &|job| job.value(probe, m))).collect()
        };
        let models = models.iter().map(|model| {
            let values =
                values(&model.name).into_iter().map(|values| values.first().copied().flatten());
            Row::model(&model.name, values.collect()).with_chart(model.chart)
        });
        let variants = variants.iter().map(|variant| {
            Row::variant(&variant.name, values(&variant.name))
                .with_norms(of_jobs(&variant.name, &Job::student_norms))
                .with_seconds(of_jobs(&variant.name, &Job::seconds))
                .with_reports(reports(&variant.name))
                .with_chart(variant.chart)
                .with_baseline(variant.baseline)
        });
        let rows = models.chain(variants).collect();
        let columns = metrics().map(|(probe, metric)| Metric {
            name: format!("{}, {}", probe.name, metric.name),
            lower_is_better: metric.lower_is_better,
        });
        let title = title.as_deref().unwrap_or("Study");
        Results::new(title, seeds.clone(), columns.collect(), rows)
    }
}
