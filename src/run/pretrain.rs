use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::module::Module;
use serde_json::json;

use super::folder::RunFolder;
use super::{Event, PretrainConfig, RefineKind, Start, loss_scale, ranks, run_train, shapes};
use crate::data::{ImageSet, Images};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::export::{Card, MODEL, Provenance};
use crate::model::{Model, ModelSpec, ResolvedModel};
use crate::ops::Precision;
use crate::probe::{accuracy, in_classes};
use crate::train::{Pretraining, Ranks, TrainSettings};

/// A supervised training to run: what `singer pretrain` does, without flags and
/// printing. It makes teachers and baselines.
#[derive(Clone)]
pub struct Pretrain {
    config: PretrainConfig,
    device: Option<Device>,
    images: Option<Images>,
    validation: Option<Images>,
    resume: bool,
    stop: Arc<AtomicBool>,
    ranks: Ranks,
}

/// A finished supervised training.
#[derive(Debug)]
pub struct Pretrained {
    folder: PathBuf,
    model: Model,
    val_accuracy: Option<f64>,
}

impl Pretrain {
    /// A model, a timm name or a [`ModelSpec`], on `device`.
    pub fn new(model: impl Into<ModelSpec>, device: &Device) -> Self {
        let config = PretrainConfig { model: model.into(), ..PretrainConfig::default() };
        Self { device: Some(device.clone()), ..Self::from_config(config) }
    }

    /// From a configuration, which states everything that no other method of the builder
    /// gives.
    pub fn from_config(config: PretrainConfig) -> Self {
        Self {
            config,
            device: None,
            images: None,
            validation: None,
            resume: false,
            stop: Arc::default(),
            ranks: Ranks::default(),
        }
    }

    /// Labelled images to train on.
    #[must_use]
    pub fn images(self, images: impl Into<Images>) -> Self {
        Self { images: Some(images.into()), ..self }
    }

    /// Labelled images to measure on at the end.
    #[must_use]
    pub fn validation(self, images: impl Into<Images>) -> Self {
        Self { validation: Some(images.into()), ..self }
    }

    /// Steps in all.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        self.configure(|config| config.train.steps = Some(steps))
    }

    /// Images in a batch; 64 by default.
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        self.configure(|config| config.train.batch = batch)
    }

    /// Output folder.
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Self {
        self.configure(|config| config.out = Some(folder.into()))
    }

    /// Changes any setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut PretrainConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Resumes from the folder's checkpoint, if there is one.
    #[must_use]
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// A flag that stops training after the step in which it is set; a checkpoint is written.
    #[must_use]
    pub fn stop(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// Trains with other ranks, each of which runs the same training on its device and has its
    /// share of every batch. The first one alone measures and writes.
    #[must_use]
    pub fn ranks(self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self }
    }

    /// Trains to the end, measures, and writes the run's folder.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Setting`] and [`Error::NoLabels`] for what cannot work,
    /// [`Error::DataClasses`] for a head with too few classes, [`Error::RunExists`],
    /// [`Error::OtherRun`], [`Error::Interrupted`] where [`stop`](Self::stop) was set,
    /// [`Error::NotFinite`]; errors of data, files and the device.
    pub fn run(self, mut report: impl FnMut(Event<'_>)) -> Result<Pretrained> {
        let devices = ranks::devices(&self.config.device.0);
        if devices.len() == 1 || self.device.is_some() {
            return self.run_here(&mut report);
        }
        ranks::on_devices(&self.ranks, &devices, false, &mut report, |ranks, device, report| {
            let run = self.clone().ranks(ranks).configure(|config| config.device = device);
            run.run_here(report)
        })
    }

    fn run_here(self, report: &mut dyn FnMut(Event<'_>)) -> Result<Pretrained> {
        let since = Instant::now();
        let (config, ranks) = (&self.config, &self.ranks);
        ranks::check_alike(ranks, config)?;
        if !(0.0..1.0).contains(&config.label_smoothing) {
            let expected = "it must lie between 0 and 1";
            return Err(Error::setting("label_smoothing", config.label_smoothing, expected));
        }
        if config.model.arch.is_none() && config.model.weights.is_none() {
            return Err(Error::Missing("model"));
        }
        let shape = config.model.resolve_for("model")?;
        let scenes = shape.config.img_size.into_iter().max().unwrap_or_default();
        let images = config.data.training_images(self.images.as_ref(), true, scenes)?;
        let classes = images.classes().len();
        if classes == 0 {
            return Err(Error::NoLabels);
        }
        let spec = shapes::with_classes(&config.model, classes);
        let model = spec.resolve_for("model")?;
        let known = model.config.num_classes;
        if known < classes {
            let (head, reason) = ("the model's head", "it needs at least as many");
            return Err(Error::DataClasses { head, known, classes, reason });
        }
        let size = model.config.img_size;
        let preprocess = config.data.preprocess(model.preprocess()?)?;
        let transform = config.data.train_transform(size)?;
        let loader = config.train.loader(&config.data, config.seed);
        let steps = config.train.steps(images.len(), &loader)?;
        config.optimizer.check()?;
        let validation = config.data.validation_images(self.validation.as_ref(), true, scenes)?;
        let validation = validation.map(|set| in_classes(&set, images.classes())).transpose()?;

        let device = match self.device.clone() {
            Some(device) => device,
            None => ranks::device(ranks, &config.device.0)?,
        };
        let precision = config.precision.on(&device)?;
        ranks.check_alike(&json!({ "precision": precision.precision }).to_string())?;
        let loss_scale = loss_scale(precision.precision);
        let training = device.autodiff();
        let start = model.build(config.seed, &training)?;
        start.check_range(precision.precision)?;
        let start = start.with_precision(precision.precision);
        let shards = ranks::shards(ranks, &config.train, &device)?;
        let out = config.out.as_deref();
        let mut folder = ranks::folder(ranks, shards, out, || {
            let (name, seed) = (device.name(), config.seed);
            RunFolder::prepare(out, self.resume, "pretrain", name, seed, config, since)
        })?;
        folder.record("precision", precision.precision)?;
        folder.record("compiler", device.capabilities().compiler)?;
        folder.record("preprocess", preprocess)?;
        let weights = model.weights().map_or_else(|| model.arch.clone().into(), PathBuf::from);
        let changed = folder.changed();
        report(Event::Start(&Start {
            changed,
            method: None,
            teacher: None,
            model: model.arch.clone(),
            parameters: start.num_params(),
            shape: model.config.clone(),
            device: device.name().to_owned(),
            compiler: device.capabilities().compiler,
            precision,
            images: images.len(),
            data_shards: images.shards(),
            classes,
            left_out: images.left_out(),
            steps,
            batch: config.train.batch,
            ranks: ranks.count(),
            refine: RefineKind::None,
            closed: None,
            register_neurons: Vec::new(),
            bases: Vec::new(),
            student_layers: Vec::new(),
            untrained: 0..0,
            assumed: model.assumed().iter().map(|line| (weights.clone(), line.clone())).collect(),
        }));
        let settings = TrainSettings {
            optimizer: config.optimizer.clone(),
            schedule: config.schedule.clone(),
            description: description(config, preprocess.normalise, &model, steps),
            resume: self.resume,
            loader,
            shards,
            loss_scale,
            ranks: ranks.clone(),
            ..config.train.settings(&folder.path, steps)
        };
        let task = Pretraining { label_smoothing: config.label_smoothing };
        let feed = (images, transform, preprocess.normalise);
        let outcome = run_train(&task, start, &training, feed, &settings, &self.stop, report);
        folder.write()?;
        let (trained, _) = outcome?;
        let trained = trained.valid().with_precision(Precision::F32);
        let ResolvedModel { arch, config: shape, .. } = model;
        let model = Model::from_parts(trained.clone(), arch, shape, preprocess);
        let settings = config.data.eval_settings(size, &preprocess, config.train.batch, None);
        let measured = ranks.is_first().then(|| {
            model.save(folder.path.join(MODEL))?;
            let measured = |set: ImageSet| accuracy(&trained, &set, &settings, device.burn());
            let val_accuracy = validation.map(measured).transpose()?;
            if let Some(accuracy) = val_accuracy {
                folder.record("result", json!({ "val_accuracy": accuracy }))?;
            }
            folder.finish()?;
            Ok(val_accuracy)
        });
        let val_accuracy = ranks::first_result(ranks, measured)?;
        let card = match ranks.is_first() {
            true => Provenance::of(&folder.path)?.card(),
            false => Card::default(),
        };
        Ok(Pretrained { folder: folder.path, model: model.with_card(card), val_accuracy })
    }
}

impl Pretrained {
    /// The trained model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Top-1 accuracy of the head on the validation images; none without them.
    pub fn val_accuracy(&self) -> Option<f64> {
        self.val_accuracy
    }

    /// Where the run's files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What a checkpoint must agree with: all that changes the weights by more than rounding.
fn description(
    config: &PretrainConfig,
    normalise: crate::data::Normalise,
    model: &ResolvedModel,
    steps: usize,
) -> String {
    json!({
        "command": "pretrain",
        "seed": config.seed,
        "model": model.config,
        "data": config.data.identity(normalise),
        "batch": config.train.batch,
        "steps": steps,
        "clip": config.train.clip,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
        "label_smoothing": config.label_smoothing,
    })
    .to_string()
}
