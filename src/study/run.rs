use std::collections::VecDeque;
use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use toml::Table;

use super::plan::{StudyProbe, TEACHER_CACHE};
use super::{Job, Study};
use crate::error::{Error, Result};
use crate::run::settings_file::from_table;
use crate::run::{DeviceName, Distill, DistillConfig};

/// Does the jobs of a study. A closure that measures is one; it trains in this process.
pub trait Worker: Sync {
    /// Trains a student to its end, from where a stopped run left off. By default in this
    /// process, by [`TrainJob::distill`].
    ///
    /// # Errors
    /// Any; the job then counts as failed.
    fn train(&self, job: &TrainJob<'_>) -> Result<()> {
        job.distill()
    }

    /// Measures a model and gives its numbers as JSON.
    ///
    /// # Errors
    /// Any; the job then counts as failed.
    fn probe(&self, job: &ProbeJob<'_>) -> Result<Value>;
}

impl<F: Fn(&ProbeJob<'_>) -> Result<Value> + Sync> Worker for F {
    fn probe(&self, job: &ProbeJob<'_>) -> Result<Value> {
        self(job)
    }
}

/// A student to be trained.
pub struct TrainJob<'a> {
    pub(super) job: &'a Job,
    pub(super) settings: &'a Path,
    pub(super) table: &'a Table,
    pub(super) device: &'a str,
    pub(super) claim: &'a File,
    pub(super) stop: &'a Arc<AtomicBool>,
}

impl TrainJob<'_> {
    /// Whose student it is; its folder is the run's.
    pub fn job(&self) -> &Job {
        self.job
    }

    /// The file of the run's settings.
    pub fn settings(&self) -> &Path {
        self.settings
    }

    /// The device to train on, as [`Device::open`](crate::Device::open) takes it.
    pub fn device(&self) -> &str {
        self.device
    }

    /// The locked file that keeps other processes from this job. One that trains in a child
    /// process gives it the file, say as its input: then a child that outlives it still has the
    /// job.
    pub fn claim(&self) -> &File {
        self.claim
    }

    /// Whether a run was begun in the folder.
    pub fn is_begun(&self) -> bool {
        self.job.folder().join("run.json").is_file()
    }

    /// Trains in this process, by [`Distill`].
    ///
    /// # Errors
    /// As [`Distill::run`]; [`Error::SettingsFile`].
    pub fn distill(&self) -> Result<()> {
        let place = self.settings.display().to_string();
        let mut config: DistillConfig = from_table(self.table.clone(), &place)?;
        config.device = DeviceName(self.device.to_owned());
        config.out = Some(self.job.folder().to_owned());
        let mut distill = Distill::from_config(config).resume(self.is_begun());
        if let Some((folder, bytes)) = self.job.teacher_cache() {
            distill = distill.teacher_cache(folder, bytes);
        }
        distill.stop(self.stop.clone()).run(|_| {}).map(drop)
    }
}

/// A model to be measured.
pub struct ProbeJob<'a> {
    pub(super) job: &'a Job,
    pub(super) probe: &'a StudyProbe,
    pub(super) device: &'a str,
    pub(super) claim: &'a File,
}

impl ProbeJob<'_> {
    /// Whose model it is: its weights and the folder for what the probe leaves behind.
    pub fn job(&self) -> &Job {
        self.job
    }

    /// What to measure.
    pub fn probe(&self) -> &StudyProbe {
        self.probe
    }

    /// The device to measure on, as [`Device::open`](crate::Device::open) takes it.
    pub fn device(&self) -> &str {
        self.device
    }

    /// As [`TrainJob::claim`].
    pub fn claim(&self) -> &File {
        self.claim
    }
}

/// What happens in a study.
#[derive(Debug)]
#[non_exhaustive]
pub enum StudyEvent<'a> {
    /// It begins, with some jobs done already.
    Start {
        /// Jobs done.
        done: usize,
        /// Jobs in all.
        jobs: usize,
    },
    /// Something happens to one job.
    Job {
        /// The job.
        job: &'a Job,
        /// Its index among all.
        index: usize,
        /// Jobs in all.
        jobs: usize,
        /// What happens.
        state: JobState<'a>,
    },
}

/// What happens to a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobState<'a> {
    /// It begins on a device.
    Begun(&'a str),
    /// It is done after this time.
    Done(Duration),
    /// It failed.
    Failed(&'a Error),
    /// Another process is doing it.
    Elsewhere,
}

/// How a study went.
#[derive(Debug)]
#[non_exhaustive]
pub struct StudyOutcome {
    /// Why jobs failed.
    pub failures: Vec<Error>,
    /// Jobs that were not begun or not finished, as the study was stopped.
    pub left: usize,
    /// Jobs that other processes are doing.
    pub elsewhere: usize,
}

impl Study {
    /// Does the jobs that are left, one at a time on each device. A failed one does not keep
    /// the others from being done; after [`stop`](Self::stop) no new one is begun. Several
    /// processes, on any machines that see the study's folder, may do so at once: none takes a job
    /// that another is doing. `report` is called from several threads.
    pub fn run(
        &self,
        worker: &dyn Worker,
        report: &(dyn Fn(StudyEvent<'_>) + Sync),
    ) -> StudyOutcome {
        self.work(0..self.jobs.len(), &self.plan.devices, worker, report)
    }

    /// Does one of [`jobs`](Self::jobs), numbered from 1, on the first device, as
    /// [`run`](Self::run) does all: for the task arrays of a cluster.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no such job; the outcome says how it went.
    pub fn run_job(
        &self,
        number: usize,
        worker: &dyn Worker,
        report: &(dyn Fn(StudyEvent<'_>) + Sync),
    ) -> Result<StudyOutcome> {
        let (count, devices) = (self.jobs.len(), &self.plan.devices);
        if !(1..=count).contains(&number) {
            let expected = format!("the study's jobs are 1 to {count}");
            return Err(Error::setting("job", number, expected));
        }
        Ok(self.work(number - 1..number, &devices[..devices.len().min(1)], worker, report))
    }

    fn work(
        &self,
        among: Range<usize>,
        devices: &[String],
        worker: &dyn Worker,
        report: &(dyn Fn(StudyEvent<'_>) + Sync),
    ) -> StudyOutcome {
        let probes = &self.plan.probes;
        let jobs = self.jobs.len();
        let open = self.jobs.iter().enumerate().filter(|(_, job)| !self.is_done(job));
        let mut open: VecDeque<(usize, &Job)> = open.collect();
        report(StudyEvent::Start { done: jobs - open.len(), jobs });
        open.retain(|(index, _)| among.contains(index));
        let queue = Mutex::new(open);
        let failures = Mutex::new(Vec::new());
        let elsewhere = AtomicUsize::new(0);
        thread::scope(|scope| {
            for device in devices {
                let (queue, failures, elsewhere) = (&queue, &failures, &elsewhere);
                scope.spawn(move || {
                    while !self.stop.load(Ordering::Relaxed) {
                        let next = locked(queue).pop_front();
                        let Some((index, job)) = next else { break };
                        let tell = |state| report(StudyEvent::Job { job, index, jobs, state });
                        let claim = match job.claim() {
                            Ok(Some(claim)) => claim,
                            Ok(None) => {
                                elsewhere.fetch_add(1, Ordering::Relaxed);
                                tell(JobState::Elsewhere);
                                continue;
                            }
                            Err(error) => {
                                tell(JobState::Failed(&error));
                                locked(failures).push(error);
                                continue;
                            }
                        };
                        if self.is_done(job) {
                            continue; // Another process has done it in the meantime.
                        }
                        tell(JobState::Begun(device));
                        let start = Instant::now();
                        let outcome = job.work(probes, device, worker, &claim, &self.stop);
                        drop(claim);
                        match outcome {
                            Ok(()) => {
                                self.drop_cache(job);
                                tell(JobState::Done(start.elapsed()));
                            }
                            Err(_) if self.stop.load(Ordering::Relaxed) => {
                                locked(queue).push_front((index, job));
                            }
                            Err(error) => {
                                tell(JobState::Failed(&error));
                                locked(failures).push(error);
                            }
                        }
                    }
                });
            }
        });
        let (left, elsewhere) = (locked(&queue).len(), elsewhere.into_inner());
        if self.jobs.iter().all(Job::is_trained) {
            let _ = fs::remove_dir_all(self.out().join(TEACHER_CACHE));
        }
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        StudyOutcome { failures, left, elsewhere }
    }

    /// Removes what a teacher computed once the last run of a seed is trained.
    fn drop_cache(&self, job: &Job) {
        let of_seed = |other: &&Job| other.seed() == job.seed();
        if let Some((folder, _)) = job.teacher_cache()
            && self.jobs.iter().filter(of_seed).all(Job::is_trained)
        {
            // Another device may be doing the same.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A panicking thread leaves the list as it was, so it can still be used.
fn locked<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
