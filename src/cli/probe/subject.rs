use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{DenseArgs, FitArgs, ModelArgs, OptimizerArg};
use crate::cli::models;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::probe::features::default_cache;
use crate::probe::{DenseSettings, ExtractionSettings, HeadFitSettings, Lift, LossAt, ProbedSet};
use crate::run::DataConfig;
use crate::train::OptimizerSettings;

/// The model that is probed, ready on its device.
pub(super) struct Subject {
    pub(super) model: Model,
    pub(super) extraction: ExtractionSettings,
    device: Device,
    /// None for new ones.
    weights: Option<PathBuf>,
    /// The run whose projection lifts the features.
    lifted_by: Option<PathBuf>,
}

impl Subject {
    pub(super) fn open(args: &ModelArgs) -> Result<Self> {
        let mut shape = args.shape.open(&args.weights)?;
        let device = Device::open(&args.device)?;
        if args.untrained {
            shape = shape.without_weights();
        }
        let weights = shape.weights().map(Path::to_owned);
        let data = args.preprocess.over(DataConfig::default())?;
        let model = models::load(shape, &data, &device)?;
        let cache = match (&args.cache, args.no_cache) {
            (_, true) => None,
            (Some(folder), _) => Some(folder.clone()),
            (None, _) => Some(default_cache().ok_or_else(|| {
                Error::config("the system has no folder for caches; use --cache DIR or --no-cache")
            })?),
        };
        let (lift, lifted_by) = lift(args, &model)?.unzip();
        let extraction = ExtractionSettings {
            final_norm: args.final_norm,
            lift,
            precision: args.cache_precision,
            batch: args.feature_batch,
            workers: args.workers.unwrap_or(data.workers).max(1),
            max_unreadable: data.max_unreadable,
            cache,
        };
        Ok(Self { model, extraction, device, weights, lifted_by })
    }

    /// Says that another token stands for the class token, where there is none.
    pub(super) fn announce_token(&self, quiet: bool) {
        if self.model.vit().cls_token.is_none() && !quiet {
            say!("the model has no class token; its mean patch is taken");
        }
    }

    /// What is written about the model.
    pub(super) fn description(&self) -> Value {
        json!({
            "arch": self.model.arch(),
            "weights": self.weights,
            "final_norm": self.extraction.final_norm,
            "lift": self.lifted_by,
            "precision": self.extraction.precision,
            "preprocess": self.model.preprocess(),
            "device": self.device.name(),
        })
    }

    /// Where the work was done and what it left behind.
    pub(super) fn note(&self) -> String {
        match &self.extraction.cache {
            Some(folder) => {
                format!("{}; features kept in {}", self.device.name(), folder.display())
            }
            None => self.device.name().to_owned(),
        }
    }

    /// The settings of a probe of pixels.
    pub(super) fn dense(
        &self,
        fit: &FitArgs,
        args: &DenseArgs,
        loss_at: LossAt,
    ) -> Result<DenseSettings> {
        let settings = DenseSettings {
            extraction: self.extraction.clone(),
            fit: fit_settings(fit, args.lr, HeadFitSettings::for_pixels()),
            size: None,
            loss_at,
            limit: args.limit,
            samples: if fit.out.is_some() { args.show } else { 0 },
        };
        settings.check(&self.model)?;
        Ok(settings)
    }
}

/// The projection that `--lift` asks for, with its run's folder; none where it does not, or where
/// the model's own run has none, which is said.
fn lift(args: &ModelArgs, model: &Model) -> Result<Option<(Lift, PathBuf)>> {
    let Some(given) = &args.lift else { return Ok(None) };
    let folder = match given {
        Some(run) => run.as_path(),
        None if args.weights.is_dir() => args.weights.as_path(),
        None => args.weights.parent().unwrap_or(Path::new("")),
    };
    match (Lift::of_run(folder, model.vit())?, given) {
        (Some(lift), _) => Ok(Some((lift, folder.to_owned()))),
        (None, Some(run)) => Err(Error::data(
            run,
            "holds no projection of a student's last block; give the folder of a distillation of features",
        )),
        (None, None) => {
            note!(
                "singer: {} has no projection of its last block beside it, and is probed as it is",
                args.weights.display()
            );
            Ok(None)
        }
    }
}

/// What the sets of a probe of pixels are called.
pub(super) fn set_name(set: ProbedSet) -> &'static str {
    if set == ProbedSet::Train { "training images" } else { "test images" }
}

/// The settings of a head's fit: flags over `defaults`.
pub(super) fn fit_settings(
    args: &FitArgs,
    lr: Option<f64>,
    defaults: HeadFitSettings,
) -> HeadFitSettings {
    let own = match defaults.optimizer {
        OptimizerSettings::Sgd { .. } => OptimizerArg::Sgd,
        OptimizerSettings::Adamw { .. } => OptimizerArg::Adamw,
    };
    let optimizer = match args.optimizer.unwrap_or(own) {
        OptimizerArg::Sgd => OptimizerSettings::Sgd {
            lr: lr.unwrap_or(0.5),
            momentum: args.momentum,
            weight_decay: args.weight_decay.unwrap_or(0.0),
        },
        OptimizerArg::Adamw => OptimizerSettings::Adamw {
            lr: lr.unwrap_or(1e-3),
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: args.weight_decay.unwrap_or(1e-4),
        },
    };
    HeadFitSettings {
        epochs: args.epochs.unwrap_or(defaults.epochs),
        batch: args.batch.unwrap_or(defaults.batch),
        optimizer,
        min_lr: args.min_lr,
        seed: args.seed,
    }
}
