//! `singer study`: trains methods with seeds, measures and compares them.

mod job;
mod plan;
mod runner;

use std::process::ExitCode;

use super::args::StudyArgs;
use super::session::Stop;
use crate::error::{Error, Result};
use crate::report::study::{Metric, Results, Row, markdown, write};
use job::Job;
use plan::Plan;

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
            say!("{state}  {}", job.title());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::watch("stopping; the runs save what they have")?;
    stop.arm();
    let ran = runner::run(&plan, &jobs, &stop.flag());
    let results = gather(&plan, &jobs);
    write(&results, &plan.out)?;
    say!("\n{}", markdown(&results));
    say!("wrote {}", plan.out.join("results.html").display());
    if ran.left > 0 {
        say!("{} jobs are left; go on with the same command", ran.left);
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

/// Gathers what the jobs have left.
fn gather(plan: &Plan, jobs: &[Job]) -> Results {
    let metrics =
        || plan.probes.iter().flat_map(|probe| probe.metrics.iter().map(move |m| (probe, m)));
    let values = |name: &str| -> Vec<Vec<Option<f64>>> {
        let of_name = || jobs.iter().filter(|job| job.name == name);
        metrics().map(|(probe, m)| of_name().map(|job| job.value(probe, m)).collect()).collect()
    };
    let models = plan.models.iter().map(|model| {
        let values =
            values(&model.name).into_iter().map(|values| values.first().copied().flatten());
        Row::model(&model.name, values.collect()).with_chart(model.chart)
    });
    let variants = plan.variants.iter().map(|variant| {
        Row::variant(&variant.name, values(&variant.name))
            .with_chart(variant.chart)
            .with_baseline(variant.baseline)
    });
    let rows = models.chain(variants).collect();
    let columns = metrics().map(|(probe, metric)| Metric {
        name: format!("{}, {}", probe.name, metric.name),
        lower_is_better: metric.lower_is_better,
    });
    let title = plan.title.as_deref().unwrap_or("Study");
    Results::new(title, plan.seeds.clone(), columns.collect(), rows)
}
