//! `singer distill`: a student from a teacher's refined features, or by a baseline.

use std::ops::Range;
use std::process::ExitCode;

use serde_json::json;

use super::args::DistillArgs;
use super::config::{self, Override};
use super::plan::parse_bytes;
use super::session::{self, Stop};
use super::track::Track;
use super::{fit, models, ranks, report};
use crate::distill::singer::BasisReport;
use crate::error::Result;
use crate::run::{Distill, DistillConfig, Measurements, MethodKind, RefineKind, Run, Start};
use crate::train::Ranks;

pub(super) fn run(args: DistillArgs) -> Result<ExitCode> {
    ranks::together(|ranks| run_on(ranks, args))
}

fn run_on(ranks: &Ranks, args: DistillArgs) -> Result<ExitCode> {
    let resume = args.train.resume;
    let limit = parse_bytes("--teacher-cache-limit", &args.teacher_cache_limit)?;
    let cache = args.teacher_cache.clone();
    let trackers = args.train.track.clone();
    let (config, idle) = settings(args)?;
    let mut run = Distill::from_config(config).resume(resume).ranks(ranks);
    if let Some(folder) = cache {
        run = run.teacher_cache(folder, limit);
    }
    let config = run.config();
    ranks::fetch(ranks, &[&config.teacher, &config.student])?;
    let out = config.out.clone().filter(|_| ranks.is_first());
    let track = Track::start(&trackers, out.as_deref())?;
    let outcome = distill(run, idle, &Stop::watch(session::SAVING)?, &track);
    if let (Ok(run), true) = (&outcome, ranks.is_first()) {
        report::of_distillation(run);
    }
    track.finish(&outcome);
    session::exit_code(outcome, session::RESUME)
}

/// The settings of the flags and the configuration file, and a flag that changes nothing.
pub(super) fn settings(args: DistillArgs) -> Result<(DistillConfig, Option<&'static str>)> {
    let for_training = [
        ("--rank", args.rank.is_some()),
        ("--quantile", args.quantile.is_some()),
        ("--losses", args.losses.is_some()),
        ("--basis", args.basis.is_some()),
    ];
    let for_training = for_training.into_iter().find_map(|(flag, given)| given.then_some(flag));
    let mut overrides = session::overrides(&args.train, &["teacher", "student"])?;
    let mut add = |key: &str, value: Option<toml::Value>| {
        overrides.extend(value.map(|value| Override::new(key, value)));
    };
    let teacher = args.teacher.map(|path| path.to_string_lossy().into_owned());
    add("teacher.weights", teacher.map(Into::into));
    add("teacher.arch", args.teacher_arch.map(Into::into));
    add("teacher.weights_key", args.weights_key.map(Into::into));
    add("student.arch", args.student.map(Into::into));
    add("method", args.method.map(Into::into));
    add("refine", args.refine.map(Into::into));
    add("label_weight", args.label_weight.map(Into::into));
    add("singer.layers", args.layers.map(Into::into));
    add("singer.mapping", args.mapping.map(Into::into));
    add("singer.rank", args.rank.map(Into::into));
    add("singer.quantile", args.quantile.map(Into::into));
    add("singer.losses", args.losses.map(Into::into));
    add("singer.basis", args.basis.map(Into::into));
    let adapters = args.adapters.map(|path| path.to_string_lossy().into_owned());
    add("adapters", adapters.map(Into::into));
    let config: DistillConfig = config::read(args.train.config.as_deref(), overrides)?;
    let trains = matches!(config.refine, Some(RefineKind::Published | RefineKind::Trained));
    let frozen = !trains && config.adapters.is_none() && config.method == MethodKind::Singer;
    Ok((config, for_training.filter(|_| frozen)))
}

/// Runs a distillation and shows how it goes and what came out.
/// `idle` is a flag that changes nothing.
pub(super) fn distill(run: Distill, idle: Option<&str>, stop: &Stop, track: &Track) -> Result<Run> {
    let config = run.config();
    let sized = config.teacher.img_size.is_some() || config.student.img_size.is_some();
    let begun = |start: &Start| {
        announce(start, sized);
        if let Some(flag) = idle {
            note!(
                "singer: warning: {flag} is about trained adapters (--refine published or trained) and changes nothing here"
            );
        }
    };
    let mut watch = session::watch(stop, begun);
    let run = run.stop(stop.flag()).run(|event| {
        track.hear(&event);
        watch(event);
    })?;
    print_measurements(run.measurements());
    say!("wrote {}", run.folder().join("student.safetensors").display());
    Ok(run)
}

/// What a run begins with, for people; `sized` where the settings state the image size.
fn announce(start: &Start, sized: bool) {
    let Start { method, teacher, model, bases, student_layers, untrained, .. } = start;
    let device = session::device(start);
    match (method, teacher) {
        (None | Some(MethodKind::None), _) | (_, None) => {
            say!("training {model} on labels alone, {device}");
        }
        (Some(MethodKind::Singer), Some(teacher)) => {
            say!("distilling {teacher} into {model}, {device}");
        }
        (Some(method), Some(teacher)) => {
            let name = json!(method);
            let name = name.as_str().unwrap_or_default();
            say!("distilling {teacher} into {model} by {name}, {device}");
        }
    }
    if !sized {
        models::hint_size(&start.shape);
    }
    if start.data_shards > 0 {
        say!("training on {}", session::number(start));
    }
    session::announce_ranks(start);
    if let Some(found) = &start.closed {
        fit::announce(found);
    }
    announce_treatment(start);
    announce_bases(bases, student_layers);
    warn_untrained(untrained);
}

fn announce_treatment(Start { refine, register_neurons, .. }: &Start) {
    match refine {
        RefineKind::Neighbours => say!("outliers become the mean of their neighbours (SINDER)"),
        RefineKind::Averaged => say!("features are averaged over moved views (PH-Reg)"),
        RefineKind::Registers if register_neurons.is_empty() => {
            say!("no outliers found: the teacher's features stay as they are");
        }
        RefineKind::Registers => {
            let mut blocks: Vec<usize> = register_neurons.iter().map(|one| one.block).collect();
            blocks.sort_unstable();
            blocks.dedup();
            let count = register_neurons.len();
            say!("{count} hidden units of blocks {blocks:?} act on a test-time register");
        }
        _ => {}
    }
}

fn announce_bases(bases: &[BasisReport], student_layers: &[usize]) {
    for (report, mapped) in bases.iter().zip(student_layers) {
        say!(
            "layer {} -> student layer {mapped}: basis of block {}, residual {:.2e}, singular values {:.2e} to {:.2e}",
            report.layer,
            report.reader,
            report.residual,
            report.sigma_min,
            report.sigma_max
        );
        if report.random_columns > 0 {
            note!(
                "singer: warning: layer {}: {} of the basis vectors are random, as too few singular values lie below singer.threshold",
                report.layer,
                report.random_columns
            );
        }
    }
}

fn warn_untrained(blocks: &Range<usize>) {
    if !blocks.is_empty() {
        let named = match blocks.len() {
            1 => format!("block {} gets", blocks.start),
            _ => format!("blocks {} to {} get", blocks.start, blocks.end - 1),
        };
        note!(
            "singer: warning: the student's {named} no gradient: no layer of the teacher is mapped there or later \
             (singer.mapping = \"last\" trains all blocks)"
        );
    }
}

fn print_measurements(report: &Measurements) {
    for (before, after) in report.norms_at_start.iter().zip(&report.norms) {
        let [started, ended] = [before, after].map(|norms| norms.refined.max_over_median);
        let refined = match before.refined == after.refined {
            true => format!("refined {ended:.2}"),
            false => format!("refined {started:.2} at the start and {ended:.2} now"),
        };
        say!(
            "layer {}: largest over median patch norm, teacher {:.2}, {refined}; patches above 3x the median: {:.2} % -> {:.2} %",
            after.layer,
            after.raw.max_over_median,
            after.raw.outlier_share * 100.0,
            after.refined.outlier_share * 100.0,
        );
    }
    if let Some(norms) = &report.student_norms {
        say!(
            "student: largest over median patch norm {:.2}; patches above 3x the median: {:.2} %",
            norms.max_over_median,
            norms.outlier_share * 100.0
        );
    }
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        for (term, before) in &first.terms {
            let after = last.terms.get(term).copied().unwrap_or(f32::NAN);
            say!("{term}: {before:.4} -> {after:.4}");
        }
    }
    if let Some(accuracy) = report.val_accuracy {
        say!("validation accuracy {:.2} %", accuracy * 100.0);
    }
}
