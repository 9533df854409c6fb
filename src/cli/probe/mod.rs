//! `singer probe`: linear heads on a frozen model's features.

mod args;
mod classify;
mod dense;
mod depth;
mod outcome;
mod segment;
mod subject;

use std::process::ExitCode;

pub(super) use args::ProbeArgs;
use args::Task;

use crate::error::Result;

pub(super) fn run(args: &ProbeArgs) -> Result<ExitCode> {
    match &args.task {
        Task::Classify(args) => classify::run(args),
        Task::Segment(args) => segment::run(args),
        Task::Depth(args) => depth::run(args),
    }
}
