//! `singer study`: trains methods with seeds, measures and compares them.

mod chart;
mod job;
mod page;
mod plan;
mod results;
mod runner;
mod statistics;
mod text;

use std::path::Path;
use std::process::ExitCode;

use super::args::StudyArgs;
use super::figure::{png, radar_picture, radar_svg};
use super::session;
use crate::error::{Error, Result};
use crate::weights::write_atomically;
use job::Job;
use plan::Plan;
use results::Results;

pub(super) fn run(args: &StudyArgs) -> Result<ExitCode> {
    let mut plan = Plan::read(&args.study)?;
    if !args.devices.is_empty() {
        plan.devices.clone_from(&args.devices);
    }
    let jobs = Job::all(&plan);
    jobs.iter().try_for_each(Job::check)?;
    if args.list {
        for job in &jobs {
            let state = if job.is_done(&plan.probes) { "done" } else { "open" };
            println!("{state}  {}", job.title());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = session::stop_flag("stopping; the runs save what they have")?;
    let ran = runner::run(&plan, &jobs, &stop);
    let results = Results::gather(&plan, &jobs);
    write(&results, &plan.out)?;
    println!("\n{}", text::markdown(&results));
    println!("wrote {}", plan.out.join("results.html").display());
    if ran.left > 0 {
        println!("{} jobs are left; go on with the same command", ran.left);
        return Ok(ExitCode::from(130));
    }
    match ran.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Error::config(format!(
            "{count} of {} jobs failed, see above; the same command tries them again",
            jobs.len()
        ))),
    }
}

/// Writes `results.json`, `.md`, `.html` and, where there are enough metrics, the
/// radar chart.
fn write(results: &Results, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, error))?;
    let json = serde_json::to_vec_pretty(results)
        .map_err(|error| Error::config(format!("cannot write the results as JSON: {error}")))?;
    write_atomically(&out.join("results.json"), &json)?;
    write_atomically(&out.join("results.md"), text::markdown(results).as_bytes())?;
    let radar = chart::radar(results);
    let svg = radar.as_ref().map(radar_svg).transpose()?;
    write_atomically(&out.join("results.html"), page::page(results, svg.as_deref()).as_bytes())?;
    if let Some(radar) = &radar {
        write_atomically(&out.join("radar.png"), &png(radar_picture(radar)?)?)?;
    }
    Ok(())
}
