//! `singer report`: the page of trainings.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::args::ReportArgs;
use crate::error::{Error, Result};
use crate::report::training::{self, TrainingRun};

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
    loop {
        let runs =
            args.runs.iter().map(|run| TrainingRun::read(run)).collect::<Result<Vec<_>>>()?;
        let going = runs.iter().any(|run| !run.finished());
        let watching = args.watch && going;
        training::write(&runs, &out, watching.then_some(EVERY))?;
        if !watching {
            say!("wrote {}", out.display());
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(EVERY.into()));
    }
}

/// The page's name in a run's folder.
pub(super) const FILE: &str = "report.html";
