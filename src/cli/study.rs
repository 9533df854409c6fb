//! `singer study`: trains methods with seeds, measures and compares them. Each job is a
//! process of this program, so that one that crashes does not end the others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use super::args::StudyArgs;
use super::session::Stop;
use crate::error::{Error, Result};
use crate::report::study::{markdown, write};
use crate::study::{Job, JobState, ProbeJob, Study, StudyEvent, TrainJob, Worker};

pub(super) fn run(args: &StudyArgs) -> Result<ExitCode> {
    let mut study = Study::open(&args.study)?;
    if !args.devices.is_empty() {
        study = study.devices(args.devices.clone());
    }
    if args.json && !(args.list || args.collect) {
        return Err(Error::config("--json goes with --list or --collect"));
    }
    if args.list && args.json {
        let jobs = study.jobs();
        let job = |job: &Job| json!({ "title": job.title(), "done": study.is_done(job) });
        say!("{:#}", jobs.iter().map(job).collect::<Value>());
        return Ok(ExitCode::SUCCESS);
    }
    if args.list {
        for (index, job) in study.jobs().iter().enumerate() {
            let state = if study.is_done(job) { "done" } else { "open" };
            say!("{:>4}  {state}  {}", index + 1, job.title());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.collect {
        let open = study.jobs().iter().filter(|job| !study.is_done(job)).count();
        match args.json {
            true => {
                let results = study.results();
                write(&results, study.out())?;
                say!("{}", serde_json::to_string_pretty(&results).unwrap_or_default());
            }
            false => report(&study)?,
        }
        if open > 0 {
            note!("{open} of {} jobs are not done yet", study.jobs().len());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::watch("stopping; the runs save what they have")?;
    stop.arm();
    let study = study.stop(stop.flag());
    let outcome = match args.job {
        None => study.run(&Program, &announce),
        Some(number) => study.run_job(number, &Program, &announce)?,
    };
    if args.job.is_none() {
        report(&study)?;
    }
    if outcome.left > 0 {
        say!("{} jobs are left; go on with the same command", outcome.left);
        return Ok(ExitCode::from(130));
    }
    if outcome.elsewhere > 0 {
        note!("{} jobs are being done by other processes", outcome.elsewhere);
    }
    match outcome.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Error::config(format!(
            "{count} of {} jobs failed, see above; the same command tries them again",
            study.jobs().len()
        ))),
    }
}

/// Writes and shows the results so far.
fn report(study: &Study) -> Result<()> {
    let results = study.results();
    write(&results, study.out())?;
    say!("\n{}", markdown(&results));
    say!("wrote {}", study.out().join("results.html").display());
    Ok(())
}

fn announce(event: StudyEvent<'_>) {
    match event {
        StudyEvent::Start { done, jobs } => say!("{done} of {jobs} jobs are done already"),
        StudyEvent::Job { job, index, jobs, state } => {
            let (number, title) = (index + 1, job.title());
            match state {
                JobState::Begun(device) => say!("[{number}/{jobs}] {title}: begins on {device}"),
                JobState::Done(time) => {
                    let minutes = time.as_secs_f64() / 60.0;
                    say!("[{number}/{jobs}] {title}: done in {minutes:.1} min");
                }
                JobState::Failed(error) => note!("[{number}/{jobs}] failed: {error}"),
                JobState::Elsewhere => {
                    say!("[{number}/{jobs}] {title}: another process is doing it");
                }
            }
        }
    }
}

/// Does jobs by this very program, as processes of their own.
struct Program;

impl Worker for Program {
    fn train(&self, job: &TrainJob<'_>) -> Result<()> {
        let mut command = singer()?;
        command.arg("distill").arg("--config").arg(job.settings());
        command.args(["--device", job.device()]).arg("--out").arg(job.job().folder());
        if let Some((folder, bytes)) = job.job().teacher_cache() {
            command.arg("--teacher-cache").arg(folder);
            command.arg("--teacher-cache-limit").arg(bytes.to_string());
        }
        if job.is_begun() {
            command.arg("--resume");
        }
        execute(command, job.job(), job.claim(), "train").map(drop)
    }

    fn probe(&self, job: &ProbeJob<'_>) -> Result<Value> {
        let mut command = singer()?;
        command.arg("probe").args(&job.probe().run).arg(job.job().weights());
        command.args(["--device", job.device(), "--json"]);
        let printed = execute(command, job.job(), job.claim(), &job.probe().file_name())?;
        let text = fs::read(&printed).map_err(|error| Error::io(&printed, error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::data(&printed, format!("is not the JSON of a probe ({error})")))
    }
}

/// Runs a command with its output in files of the job's folder; the path of what it printed. The
/// claim is its input, so that the job stays taken should the command outlive this process.
fn execute(mut command: Command, job: &Job, claim: &File, name: &str) -> Result<PathBuf> {
    let file = |ending: &str| -> Result<(PathBuf, File)> {
        let path = job.folder().join(format!("{name}.{ending}"));
        let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
        Ok((path, file))
    };
    let (printed, out) = file("out")?;
    let (errors, err) = file("err")?;
    let program = PathBuf::from(command.get_program());
    let claim = claim.try_clone().map_err(|error| Error::io(job.folder(), error))?;
    let status = command
        .stdin(claim)
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|error| Error::io(program, error))?;
    if status.success() {
        return Ok(printed);
    }
    let text = fs::read_to_string(&errors).unwrap_or_default();
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
    let line = line.strip_prefix("singer: ").unwrap_or(line);
    Err(Error::Job { job: job.title(), reason: format!("{line} (see {})", errors.display()) })
}

fn singer() -> Result<Command> {
    std::env::current_exe().map(Command::new).map_err(|error| Error::io(Path::new("singer"), error))
}
