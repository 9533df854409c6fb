//! `singer pretrain`: a plain ViT from labels.

use std::process::ExitCode;

use super::args::PretrainArgs;
use super::config::{self, Override};
use super::models;
use super::session::{self, Stop};
use crate::error::Result;
use crate::run::{Pretrain, PretrainConfig, Pretrained, Start};

pub(super) fn run(args: PretrainArgs) -> Result<ExitCode> {
    let mut overrides = session::overrides(&args.train, &["model"])?;
    overrides.extend(args.model.map(|name| Override::new("model.arch", name)));
    overrides.extend(args.weights_key.map(|key| Override::new("model.weights_key", key)));
    let config: PretrainConfig = config::read(args.train.config.as_deref(), overrides)?;
    session::exit_code(
        pretrain(config, args.train.resume, &Stop::watch(session::SAVING)?),
        session::RESUME,
    )
}

fn pretrain(config: PretrainConfig, resume: bool, stop: &Stop) -> Result<Pretrained> {
    models::fetch(&config.model)?;
    let run = Pretrain::from_config(config).resume(resume).stop(stop.flag());
    let run = run.run(session::watch(stop, announce))?;
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
}
