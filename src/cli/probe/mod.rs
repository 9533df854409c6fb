//! `singer probe`: linear heads on a frozen model's features.

mod args;
mod classify;
mod depth;
mod report;
mod segment;
mod subject;

use std::process::ExitCode;

pub(super) use args::ProbeArgs;
use args::Task;

use crate::error::Result;

pub(super) fn run(args: &ProbeArgs) -> Result<ExitCode> {
    match &args.task {
        Task::Classify(args) => classify::run(args)?,
        Task::Segment(args) => segment::run(args)?,
        Task::Depth(args) => depth::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
