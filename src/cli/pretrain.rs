//! `singer pretrain`: a plain ViT from labels.

use std::process::ExitCode;

use super::args::PretrainArgs;
use super::config::{self, Override};
use super::session::{self, Stop};
use super::track::Track;
use super::{ranks, report};
use crate::error::Result;
use crate::run::{Pretrain, PretrainConfig, Pretrained, Start};
use crate::train::Ranks;

pub(super) fn run(args: PretrainArgs) -> Result<ExitCode> {
    ranks::together(|ranks| run_on(ranks, args))
}

fn run_on(ranks: &Ranks, args: PretrainArgs) -> Result<ExitCode> {
    let mut overrides = session::overrides(&args.train, &["model"])?;
    overrides.extend(args.model.map(|name| Override::new("model.arch", name)));
    overrides.extend(args.weights_key.map(|key| Override::new("model.weights_key", key)));
    let config: PretrainConfig = config::read(args.train.config.as_deref(), overrides)?;
    ranks::fetch(ranks, &[&config.model])?;
    let out = config.out.clone().filter(|_| ranks.is_first());
    let track = Track::start(&args.train.track, out.as_deref())?;
    let run = Pretrain::from_config(config).resume(args.train.resume).ranks(ranks);
    let outcome = pretrain(run, &Stop::watch(session::SAVING)?, &track);
    if let (Ok(run), true) = (&outcome, ranks.is_first()) {
        report::of_run(run.folder());
    }
    track.finish(&outcome);
    session::exit_code(outcome, session::RESUME)
}

fn pretrain(run: Pretrain, stop: &Stop, track: &Track) -> Result<Pretrained> {
    let mut watch = session::watch(stop, announce);
    let run = run.stop(stop.flag()).run(|event| {
        track.hear(&event);
        watch(event);
    })?;
    say!("wrote {}", run.folder().join("model.safetensors").display());
    if let Some(accuracy) = run.val_accuracy() {
        say!("validation accuracy {:.2} %", accuracy * 100.0);
    }
    Ok(run)
}

fn announce(start: &Start) {
    say!(
        "pretraining {} ({:.1} M parameters) on {} of {} classes, {} steps, {}",
        start.model,
        start.parameters as f64 / 1e6,
        session::number(start),
        start.classes,
        start.steps,
        session::device(start)
    );
    session::announce_ranks(start);
}
