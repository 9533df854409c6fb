use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{FitArgs, ModelArgs, OptimizerArg};
use crate::cli::models;
use crate::cli::progress::Shown;
use crate::data::ImageSet;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::probe::features::{FeatureSettings, ModelKey, Precision, View, default_cache, features};
use crate::probe::{FeatureStore, FitSettings};
use crate::run::DataConfig;
use crate::train::OptimizerSettings;

/// The model that is probed, ready on its device.
pub(super) struct Subject {
    pub(super) model: Model,
    pub(super) opened: Device,
    /// None for new ones.
    weights: Option<PathBuf>,
    key: ModelKey,
    cache: Option<PathBuf>,
    final_norm: bool,
    precision: Precision,
    batch: usize,
    workers: usize,
}

impl Subject {
    pub(super) fn open(args: &ModelArgs) -> Result<Self> {
        let mut resolved = models::open(&args.weights, args.arch.as_deref())?;
        let opened = Device::open(&args.device)?;
        if args.untrained {
            resolved = resolved.without_weights();
        }
        let weights = resolved.weights().map(Path::to_owned);
        let data = args.preprocess.over(DataConfig::default())?;
        let model = models::load(resolved, &data, &opened)?;
        let key = ModelKey::new(model.vit(), model.config())?;
        let cache = match (&args.cache, args.no_cache) {
            (_, true) => None,
            (Some(folder), _) => Some(folder.clone()),
            (None, _) => Some(default_cache().ok_or_else(|| {
                Error::config("the system has no folder for caches; use --cache DIR or --no-cache")
            })?),
        };
        Ok(Self {
            model,
            opened,
            weights,
            key,
            cache,
            final_norm: args.final_norm,
            precision: args.cache_precision.into(),
            batch: args.feature_batch,
            workers: args.workers.unwrap_or(data.workers).max(1),
        })
    }

    /// Whether the model has a class token.
    pub(super) fn has_class_token(&self) -> bool {
        self.model.vit().cls_token.is_some()
    }

    /// The features of a set; `what` names it.
    pub(super) fn features(
        &self,
        what: &str,
        images: &ImageSet,
        (size, view): ([usize; 2], View),
        patches: bool,
        shown: &Shown,
    ) -> Result<FeatureStore> {
        let settings = FeatureSettings {
            size,
            view,
            preprocess: *self.model.preprocess(),
            final_norm: self.final_norm,
            patches,
            precision: self.precision,
            batch: self.batch,
            workers: self.workers,
        };
        let model = (self.model.vit(), self.model.config(), &self.key);
        let mut report = |progress| shown.features(what, progress);
        let cache = self.cache.as_deref();
        let (store, _) =
            features(model, images, &settings, cache, self.opened.burn(), &mut report)?;
        Ok(store)
    }

    /// What is written about the model.
    pub(super) fn description(&self) -> Value {
        json!({
            "arch": self.model.arch(),
            "weights": self.weights,
            "final_norm": self.final_norm,
            "precision": self.precision,
            "preprocess": self.model.preprocess(),
            "device": self.opened.name(),
        })
    }

    /// Where the work was done and what it left behind.
    pub(super) fn note(&self) -> String {
        match &self.cache {
            Some(folder) => {
                format!("{}; features kept in {}", self.opened.name(), folder.display())
            }
            None => self.opened.name().to_owned(),
        }
    }
}

/// What a probe takes where nothing is said.
pub(super) struct Defaults {
    pub(super) batch: usize,
    pub(super) epochs: usize,
    pub(super) optimizer: OptimizerArg,
}

/// The settings of a head's fit.
pub(super) fn fit_settings(
    args: &FitArgs,
    lr: Option<f64>,
    defaults: &Defaults,
) -> Result<FitSettings> {
    let optimizer = match args.optimizer.unwrap_or(defaults.optimizer) {
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
    let settings = FitSettings {
        epochs: args.epochs.unwrap_or(defaults.epochs),
        batch: args.batch.unwrap_or(defaults.batch),
        optimizer,
        min_lr: args.min_lr,
        seed: args.seed,
    };
    settings.check()?;
    Ok(settings)
}
