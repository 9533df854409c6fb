//! The ranks of an MPI job that run one command together.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use super::models;
use super::output;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::train::Ranks;
#[cfg(feature = "mpi")]
use crate::train::ranks::MpiJob;

/// Runs a command on the ranks with which a launcher started this process, or alone. The first
/// one alone prints, but for an error, which is printed where it happened. All end together, as
/// a launcher ends the others when one is gone.
pub(super) fn together(work: impl FnOnce(&Ranks) -> Result<ExitCode>) -> Result<ExitCode> {
    let started = started();
    #[cfg(feature = "mpi")]
    let job = MpiJob::join()?;
    #[cfg(feature = "mpi")]
    let ranks = job.as_ref().map(MpiJob::ranks).unwrap_or_default();
    #[cfg(not(feature = "mpi"))]
    let ranks = Ranks::default();
    if started > 1 && !ranks.several() {
        return Err(Error::config(match cfg!(feature = "mpi") {
            true => format!(
                "a launcher started {started} processes that do not find each other; use the launcher of the MPI that singer was built with, with Slurm `srun --mpi=pmix`"
            ),
            false => format!(
                "a launcher started {started} processes, and this singer was built without MPI; build it with `--features mpi`"
            ),
        }));
    }
    if !ranks.several() {
        return work(&ranks);
    }
    output::silence(!ranks.is_first());
    let outcome = catch_unwind(AssertUnwindSafe(|| work(&ranks)));
    let (outcome, panic) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(panic) => (Err(Error::Thread("it panicked".into())), Some(panic)),
    };
    let outcome = ranks.agree(outcome);
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    let code = outcome.unwrap_or_else(|error| {
        if !matches!(error, Error::OtherRank { .. }) {
            output::silence(false);
            super::complain(&error);
        }
        #[cfg(feature = "mpi")]
        if let (Error::Link(_), Some(job)) = (&error, &job) {
            job.abort();
        }
        ExitCode::FAILURE
    });
    Ok(code)
}

/// Processes that a launcher started for this command: Open MPI's, MPICH's and its kin's,
/// Slurm's.
fn started() -> usize {
    let number = |name| env::var(name).ok()?.parse::<usize>().ok();
    let slurm = env::var_os("SLURM_PROCID").and_then(|_| number("SLURM_STEP_NUM_TASKS"));
    let others = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].map(number);
    others.into_iter().chain([slurm]).flatten().max().unwrap_or(1)
}

/// Downloads what is not there yet, on each machine once.
pub(super) fn fetch(ranks: &Ranks, specs: &[&ModelSpec]) -> Result<()> {
    let fetch = || specs.iter().try_for_each(|spec| models::fetch(spec));
    let (first, then) = match ranks.local_rank() {
        0 => (fetch(), Ok(())),
        _ => (Ok(()), Err(())),
    };
    ranks.agree(first)?;
    then.or_else(|()| fetch())
}
