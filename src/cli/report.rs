//! `singer report`: the page of trainings.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::args::ReportArgs;
use crate::error::{Error, Result};
use crate::report::training::{self, EventFile, TrainingRun};

/// Between two looks at running trainings.
const EVERY: u32 = 5;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join(FILE),
        (None, _) => PathBuf::from(FILE),
    };
    if out.is_dir() {
        return Err(Error::config(format!("{} is a folder; give --out a file", out.display())));
    }
    let mut trackers: Vec<EventFile> = Vec::new();
    loop {
        let runs =
            args.runs.iter().map(|run| TrainingRun::read(run)).collect::<Result<Vec<_>>>()?;
        if args.tensorboard.is_some() && has_twins(&runs) {
            return Err(Error::config(
                "two of the runs have the same folder name, and so would their event files; report them one by one",
            ));
        }
        let going = runs.iter().any(|run| !run.finished());
        let watching = args.watch && going;
        training::write(&runs, &out, watching.then_some(EVERY))?;
        if let (Some(folder), true) = (&args.tensorboard, trackers.is_empty()) {
            let folder = |run: &TrainingRun| match runs.len() {
                1 => folder.clone(),
                _ => folder.join(&run.name),
            };
            let made = runs.iter().map(|run| EventFile::create(&folder(run), run));
            trackers = made.collect::<Result<_>>()?;
        }
        for (events, run) in trackers.iter_mut().zip(&runs) {
            events.follow(run)?;
        }
        if !watching {
            say!("wrote {}", out.display());
            trackers.iter().for_each(|events| say!("wrote {}", events.path().display()));
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(EVERY.into()));
    }
}

/// Writes the page of a run that has just ended into its folder. That it cannot be written, is no
/// failure of the training.
pub(super) fn of_run(folder: &Path) {
    let out = folder.join(FILE);
    let written = TrainingRun::read(folder).and_then(|run| training::write(&[run], &out, None));
    match written {
        Ok(path) => say!("wrote {}", path.display()),
        Err(error) => note!("singer: warning: no report was written: {error}"),
    }
}

/// Whether two of the runs have the same name.
fn has_twins(runs: &[TrainingRun]) -> bool {
    runs.iter().enumerate().any(|(index, run)| runs[..index].iter().any(|of| of.name == run.name))
}

/// The page's name in a run's folder.
const FILE: &str = "report.html";
