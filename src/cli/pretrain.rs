use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use serde_json::json;

use super::args::PretrainArgs;
use super::config::{self, Override, PretrainConfig};
use super::preprocessing::preprocess;
use super::run_folder::RunFolder;
use super::{models, session};
use crate::data::{Normalise, Split};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::eval;
use crate::export::MODEL;
use crate::model::{Model, ResolvedModel};
use crate::train::{Pretraining, RunSettings};

pub(super) fn run(args: PretrainArgs) -> Result<ExitCode> {
    let mut overrides = session::overrides(&args.train)?;
    overrides.extend(args.model.map(|name| Override::new("model.arch", name)));
    let config: PretrainConfig = config::read(args.train.config.as_deref(), overrides)?;
    let stop = session::stop_flag(session::SAVING)?;
    pretrain(&config, args.train.resume, &stop)
}

fn pretrain(config: &PretrainConfig, resume: bool, stop: &AtomicBool) -> Result<ExitCode> {
    if !(0.0..1.0).contains(&config.label_smoothing) {
        return Err(Error::config(format!(
            "label_smoothing is {}; it must lie between 0 and 1",
            config.label_smoothing
        )));
    }
    let shape = models::resolve(&config.model, "model")?;
    let images = session::training_images(&config.data, session::scene_side(&shape.config))?;
    let classes = images.classes().len();
    let spec = session::with_classes(&config.model, classes);
    let model = models::resolve(&spec, "model")?;
    if model.config.num_classes < classes {
        return Err(Error::config(format!(
            "model.num_classes is {} and the data has {classes} classes; leave it out or raise it",
            model.config.num_classes
        )));
    }
    let size = model.config.img_size;
    let preprocess = preprocess(&config.data, &model)?;
    let transform = session::train_transform(&config.data, size)?;
    let loader = session::loader(&config.data, &config.train, config.seed);
    let steps = session::steps(&config.train, images.len(), &loader)?;
    let validation = config
        .data
        .val
        .as_deref()
        .map(|place| session::images(place, Split::Val, session::scene_side(&model.config)))
        .transpose()?;

    let opened = Device::open(&config.device.0)?;
    let training = opened.autodiff();
    let start = models::build(&model, config.seed, &training)?;
    let shards = session::shards(config.train.threads, &opened);
    let mut folder = RunFolder::prepare(
        config.out.as_deref(),
        resume,
        "pretrain",
        opened.name(),
        config.seed,
        config,
    )?;
    folder.record("preprocess", preprocess)?;
    println!(
        "pretraining {} ({:.1} M parameters) on {} images of {classes} classes, {steps} steps, {}",
        model.arch,
        start.num_params() as f64 / 1e6,
        images.len(),
        opened.name()
    );
    let settings = RunSettings {
        out: folder.path.clone(),
        steps,
        optimizer: config.optimizer.clone(),
        schedule: config.schedule.clone(),
        clip: config.train.clip,
        log_every: config.train.log_every,
        checkpoint_every: config.train.checkpoint_every,
        description: description(config, preprocess.normalise, &model, steps, shards),
        resume,
        image_size: size,
        loader,
        shards,
    };
    let task = Pretraining { label_smoothing: config.label_smoothing };
    let feed = (images, transform, preprocess.normalise);
    let done = session::train_shown(&task, start, &training, feed, &settings, stop)?;
    let Some((trained, _)) = done else { return Ok(ExitCode::from(130)) };
    let trained = trained.valid();
    let file = folder.path.join(MODEL);
    Model::from_parts(trained.clone(), &model.arch, model.config.clone(), preprocess)
        .save(&file)?;
    println!("wrote {}", file.display());
    if let Some(validation) = validation {
        let settings =
            session::eval_settings(&config.data, size, &preprocess, config.train.batch, None);
        let accuracy = eval::accuracy(&trained, &validation, &settings, opened.burn())?;
        folder.record("result", json!({ "val_accuracy": accuracy }))?;
        println!("validation accuracy {:.2} %", accuracy * 100.0);
    }
    folder.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// What a checkpoint must agree with: all that changes the weights.
fn description(
    config: &PretrainConfig,
    normalise: Normalise,
    model: &ResolvedModel,
    steps: usize,
    shards: usize,
) -> String {
    json!({
        "command": "pretrain",
        "seed": config.seed,
        "model": model.config,
        "data": session::identity(&config.data, normalise),
        "batch": config.train.batch,
        "steps": steps,
        "parts": shards,
        "clip": config.train.clip,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
        "label_smoothing": config.label_smoothing,
    })
    .to_string()
}
