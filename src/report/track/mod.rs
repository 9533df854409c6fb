//! Trackers that follow trainings: TensorBoard's event files and an MLflow server. Both read the
//! run's own folder, so that what they show is what the run wrote, while it goes or afterwards.

#[cfg(feature = "hub")]
mod mlflow;
mod tensorboard;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::training::{PAGE, TrainingRun};
use crate::error::{Error, Result};
use crate::train::Record;
#[cfg(feature = "hub")]
use mlflow::Mlflow;
use tensorboard::EventFile;

/// What follows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TrackerKind {
    /// An event file in the run's folder.
    Tensorboard,
    /// The server of `MLFLOW_TRACKING_URI`.
    #[cfg(feature = "hub")]
    Mlflow,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All its steps are done.
    Finished,
    /// Stopped on request; it can go on.
    Stopped,
    /// By an error.
    Failed,
}

/// A tracker of one run.
#[derive(Debug)]
pub struct Tracker(Kind);

#[derive(Debug)]
enum Kind {
    Tensorboard(EventFile),
    #[cfg(feature = "hub")]
    Mlflow(Box<Mlflow>),
}

impl Tracker {
    /// Begins to track the run of a folder. Where it was tracked before, as a resumed run's, the
    /// event file is written anew, and on a server the same run goes on.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Setting`] where `MLFLOW_TRACKING_URI` is no server's address.
    pub fn open(kind: TrackerKind, folder: &Path) -> Result<Self> {
        Ok(Self(match kind {
            TrackerKind::Tensorboard => Kind::Tensorboard(EventFile::create(folder)?),
            #[cfg(feature = "hub")]
            TrackerKind::Mlflow => Kind::Mlflow(Box::new(Mlflow::open(folder)?)),
        }))
    }

    /// Adds what has come since.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Tracker`] where the server does not take it. The next call tries
    /// again.
    pub fn follow(&mut self, run: &TrainingRun) -> Result<()> {
        match &mut self.0 {
            Kind::Tensorboard(file) => file.follow(run),
            #[cfg(feature = "hub")]
            Kind::Mlflow(server) => server.follow(run),
        }
    }

    /// Adds what has come since and how the run ended. `page` is its report.
    ///
    /// # Errors
    /// Those of [`follow`](Self::follow).
    pub fn end(&mut self, run: &TrainingRun, ended: Ended, page: Option<&str>) -> Result<()> {
        self.follow(run)?;
        match &mut self.0 {
            Kind::Tensorboard(file) => file.end(run, ended),
            #[cfg(feature = "hub")]
            Kind::Mlflow(server) => server.end(run, ended, page),
        }
    }

    /// The event file, or the run's page on the server.
    pub fn place(&self) -> String {
        match &self.0 {
            Kind::Tensorboard(file) => file.path().display().to_string(),
            #[cfg(feature = "hub")]
            Kind::Mlflow(server) => server.page(),
        }
    }
}

/// Between two looks at a running training.
const EVERY: Duration = Duration::from_secs(5);
/// After a tracker failed.
const PATIENCE: Duration = Duration::from_secs(30);

enum Signal {
    Step,
    Ended(Ended),
}

/// Trackers that follow a running training from a thread of their own: one that fails or is slow
/// neither stops nor delays it.
#[derive(Debug)]
pub struct Tracking {
    signals: Sender<Signal>,
    thread: JoinHandle<Vec<String>>,
}

impl Tracking {
    /// Begins to follow the run in a folder. `warn` hears, once for each tracker, that it fails.
    ///
    /// # Errors
    /// [`Error::Setting`] for trackers that cannot work; [`Error::Thread`].
    pub fn start(
        kinds: &[TrackerKind],
        folder: &Path,
        warn: impl FnMut(&Error) + Send + 'static,
    ) -> Result<Self> {
        for kind in kinds {
            kind.check()?;
        }
        let (signals, heard) = channel();
        let (kinds, folder) = (kinds.to_vec(), folder.to_owned());
        let thread = std::thread::Builder::new()
            .name("trackers".into())
            .spawn(move || Follower::new(&kinds, folder, warn).run(&heard))
            .map_err(|error| Error::Thread(error.to_string()))?;
        Ok(Self { signals, thread })
    }

    /// Says that steps are done.
    pub fn step(&self) {
        // A follower that is gone was done.
        let _ = self.signals.send(Signal::Step);
    }

    /// Waits until the trackers have the end of the run, and gives the places of those that do.
    pub fn finish(self, ended: Ended) -> Vec<String> {
        let _ = self.signals.send(Signal::Ended(ended));
        self.thread.join().unwrap_or_default()
    }
}

impl TrackerKind {
    /// Refuses what cannot work, before the training.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(self) -> Result<()> {
        match self {
            Self::Tensorboard => Ok(()),
            #[cfg(feature = "hub")]
            Self::Mlflow => mlflow::Server::from_environment().map(drop),
        }
    }
}

/// A tracker while a training goes.
struct Followed {
    kind: TrackerKind,
    tracker: Option<Tracker>,
    warned: bool,
    /// Where it failed: when it is tried again.
    again: Option<Instant>,
}

struct Follower<W> {
    folder: PathBuf,
    followed: Vec<Followed>,
    warn: W,
}

impl<W: FnMut(&Error)> Follower<W> {
    fn new(kinds: &[TrackerKind], folder: PathBuf, warn: W) -> Self {
        let followed =
            kinds.iter().map(|&kind| Followed { kind, tracker: None, warned: false, again: None });
        Self { folder, followed: followed.collect(), warn }
    }

    /// Until the run has ended.
    fn run(mut self, signals: &Receiver<Signal>) -> Vec<String> {
        let mut looked: Option<Instant> = None;
        let mut due = false;
        let ended = loop {
            match signals.recv_timeout(EVERY) {
                Ok(Signal::Step) => due = true,
                Ok(Signal::Ended(ended)) => break Some(ended),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            if due && looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
                self.look(None);
                (looked, due) = (Some(Instant::now()), false);
            }
        };
        self.look(Some(ended.unwrap_or(Ended::Failed)))
    }

    /// Lets the trackers see the run as it is now; gives the places of those that have it.
    fn look(&mut self, ended: Option<Ended>) -> Vec<String> {
        // A run that ended before its first step has no metrics.
        let Ok(run) = TrainingRun::read(&self.folder) else { return Vec::new() };
        let page = ended.and_then(|_| std::fs::read_to_string(self.folder.join(PAGE)).ok());
        let mut places = Vec::new();
        for followed in &mut self.followed {
            let waits = followed.again.is_some_and(|again| Instant::now() < again);
            if waits && ended.is_none() {
                continue;
            }
            match followed.look(&self.folder, &run, ended, page.as_deref()) {
                Ok(place) => {
                    followed.again = None;
                    places.push(place);
                }
                Err(error) => {
                    followed.again = Some(Instant::now() + PATIENCE);
                    if !std::mem::replace(&mut followed.warned, true) {
                        (self.warn)(&error);
                    }
                }
            }
        }
        places
    }
}

impl Followed {
    fn look(
        &mut self,
        folder: &Path,
        run: &TrainingRun,
        ended: Option<Ended>,
        page: Option<&str>,
    ) -> Result<String> {
        let tracker = match &mut self.tracker {
            Some(tracker) => tracker,
            none => none.insert(Tracker::open(self.kind, folder)?),
        };
        match ended {
            None => tracker.follow(run)?,
            Some(ended) => tracker.end(run, ended, page)?,
        }
        Ok(tracker.place())
    }
}

/// The numbers of a step, by name.
fn numbers(record: &Record) -> Vec<(String, f64)> {
    let Record { lr, loss, terms, .. } = record;
    let terms = terms.iter().map(|(name, value)| (format!("terms/{name}"), f64::from(*value)));
    let all = [("loss".to_owned(), f64::from(*loss)), ("learning rate".to_owned(), *lr)];
    all.into_iter().chain(terms).collect()
}

/// What a finished run measured, by name.
fn measurements(result: &Value) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    let mut add = |name: String, value: &Value| {
        values.extend(value.as_f64().map(|value| (name, value)));
    };
    for layer in result["norms"].as_array().into_iter().flatten() {
        for (kind, name) in [("raw", "teacher"), ("refined", "refined teacher")] {
            let name = format!("norm over median/{name} block {}", layer["layer"]);
            add(name, &layer[kind]["max_over_median"]);
        }
    }
    add("norm over median/student".into(), &result["student_norms"]["max_over_median"]);
    add("validation accuracy".into(), &result["val_accuracy"]);
    values
}

/// The settings of a run, `section.key` and its value.
fn settings(run: &TrainingRun) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    flatten("", &run.description["config"], &mut found);
    found
}

/// `section.key` and its value for each leaf that is set.
pub(super) fn flatten(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, found);
            }
        }
        Value::Null => {}
        other => found.push((prefix.to_owned(), crate::export::plain(other))),
    }
}
