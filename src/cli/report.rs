//! `singer report`: the page of trainings.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::ReportArgs;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::export::plain;
use crate::report::track::{Ended, Tracker};
use crate::report::training::{self, Examples, PAGE, TrainingRun, photographs, verdicts};
use crate::run::{Run, RunRecord};

/// Between two looks at running trainings.
const EVERY: u32 = 5;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join(PAGE),
        (None, _) => PathBuf::from(PAGE),
    };
    if out.is_dir() {
        return Err(Error::config(format!("{} is a folder; give --out a file", out.display())));
    }
    let mut trackers: Vec<Tracker> = Vec::new();
    loop {
        let read = |run: &PathBuf| match args.photos {
            true => with_photographs(run),
            false => TrainingRun::read(run),
        };
        let runs = args.runs.iter().map(read).collect::<Result<Vec<_>>>()?;
        if args.json {
            say!("{:#}", runs.iter().map(described).collect::<Value>());
            return Ok(ExitCode::SUCCESS);
        }
        let going = runs.iter().any(|run| !run.finished());
        let watching = args.watch && going;
        training::write(&runs, &out, watching.then_some(EVERY))?;
        if trackers.is_empty() {
            for folder in &args.runs {
                for &kind in &args.track {
                    trackers.push(Tracker::open(kind, folder)?);
                }
            }
        }
        let tracked = runs.iter().flat_map(|run| args.track.iter().map(move |_| run));
        for (tracker, run) in trackers.iter_mut().zip(tracked) {
            match run.finished() {
                true => {
                    let page = training::page(std::slice::from_ref(run), None)?;
                    tracker.end(run, Ended::Finished, Some(&page))?;
                }
                false => tracker.follow(run)?,
            }
        }
        if !watching {
            say!("wrote {}", out.display());
            trackers.iter().for_each(|tracker| say!("tracked in {}", tracker.place()));
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(EVERY.into()));
    }
}

/// A run with the photographs of its example maps. A run from before there were maps gets them.
fn with_photographs(folder: &PathBuf) -> Result<TrainingRun> {
    let record = RunRecord::open(folder)?;
    let mut run = TrainingRun::read(folder)?;
    if run.examples.is_none() {
        let device = Device::open(&record.config.device.0).or_else(|_| Device::open("auto"))?;
        if let Some(examples) = Examples::of_run(&Run::open(folder, &device)?)? {
            examples.write(folder)?;
            run.examples = Some(examples);
        }
    }
    if let Some(examples) = &run.examples {
        run.photographs = photographs(&record.config, examples)?;
    }
    Ok(run)
}

/// What the page says of a run.
fn described(run: &TrainingRun) -> Value {
    let said = verdicts(run);
    let said = said.iter().map(|one| json!({ "warning": one.warning, "text": one.text }));
    plain(&json!({
        "run": run.name,
        "command": run.description["command"],
        "finished": run.finished(),
        "verdicts": said.collect::<Value>(),
        "last": run.records.last(),
        "pace": run.pace.last(),
        "result": run.description["result"],
    }))
}

/// Measures the example maps of a distillation that has just ended and writes its page into its
/// folder. That this fails, is no failure of the training.
pub(super) fn of_distillation(run: &Run) {
    let kept = Examples::of_run(run).and_then(|examples| match examples {
        Some(examples) => examples.write(run.folder()),
        None => Ok(()),
    });
    if let Err(error) = kept {
        note!("singer: warning: the report has no example maps: {error}");
    }
    of_run(run.folder());
}

/// The same of a run without a teacher.
pub(super) fn of_run(folder: &Path) {
    written(TrainingRun::read(folder), &folder.join(PAGE));
}

/// Writes a page beside what it is about.
pub(super) fn written(run: Result<TrainingRun>, out: &Path) {
    match run.and_then(|run| training::write(&[run], out, None)) {
        Ok(path) => say!("wrote {}", path.display()),
        Err(error) => note!("singer: warning: no report was written: {error}"),
    }
}
