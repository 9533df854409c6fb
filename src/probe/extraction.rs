//! What every probe begins with: the features of its images, with their cache.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;

use super::features::{
    FeaturePrecision, FeatureProgress, FeatureSettings, ModelKey, View, features,
};
use super::{FeatureStore, HeadFitProgress, Lift};
use crate::data::ImageSet;
use crate::error::Result;
use crate::model::Model;

/// How a probe computes and keeps the features of a frozen model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExtractionSettings {
    /// Whether the model's final norm is applied to the last block's tokens.
    pub final_norm: bool,
    /// Projects the tokens to the width of the teacher that a student learnt from.
    pub lift: Option<Lift>,
    /// The type in which features are kept.
    pub precision: FeaturePrecision,
    /// Images in a batch.
    pub batch: usize,
    /// Decoding threads.
    pub workers: usize,
    /// Largest share of unreadable images that is passed over, 0 to 1.
    pub max_unreadable: f64,
    /// The folder that keeps features for further probes, such as
    /// [`default_cache`](super::features::default_cache); none for a temporary one.
    pub cache: Option<PathBuf>,
}

impl Default for ExtractionSettings {
    /// No final norm, no lift, single precision, batches of 32, at most 8 threads, no cache.
    fn default() -> Self {
        Self {
            final_norm: false,
            lift: None,
            precision: FeaturePrecision::default(),
            batch: 32,
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            max_unreadable: 0.01,
            cache: None,
        }
    }
}

/// A set of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbedSet {
    /// The images that the head learns from.
    Train,
    /// The images that it is measured on.
    Test,
    /// One of the further sets with some of the classes, counted from 0.
    Subset(usize),
}

/// How far a probe is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ProbeEvent {
    /// Features are computed; not reported where they were kept.
    Features(ProbedSet, FeatureProgress),
    /// A head is fitted.
    Fit(HeadFitProgress),
    /// Images of a dense probe are scored.
    Score {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
}

/// How long the parts of a probe took, in seconds, to the millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProbeTimes {
    /// The features.
    pub features_seconds: f64,
    /// The choice of a learning rate, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep_seconds: Option<f64>,
    /// The head's fit.
    pub fit_seconds: f64,
    /// The scores.
    pub score_seconds: f64,
}

/// Measures the parts of a probe, one after the other.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start or the last lap.
    pub(super) fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        (seconds * 1e3).round() / 1e3
    }
}

/// A model whose features are computed.
pub(super) struct Extractor<'a> {
    model: &'a Model,
    key: ModelKey,
    device: Device,
    settings: &'a ExtractionSettings,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(model: &'a Model, settings: &'a ExtractionSettings) -> Result<Self> {
        let key = ModelKey::new(model.vit(), model.config())?;
        Ok(Self { model, key, device: model.vit().device(), settings })
    }

    /// Where features are computed and heads are fitted.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn features(
        &self,
        set: ProbedSet,
        images: &ImageSet,
        (size, view): ([usize; 2], View),
        patches: bool,
        report: &mut dyn FnMut(ProbeEvent),
    ) -> Result<FeatureStore> {
        let ExtractionSettings {
            final_norm,
            ref lift,
            precision,
            batch,
            workers,
            max_unreadable,
            ref cache,
        } = *self.settings;
        let preprocess = *self.model.preprocess();
        let settings = FeatureSettings {
            size,
            view,
            preprocess,
            final_norm,
            lift: lift.clone(),
            patches,
            precision,
            batch,
            workers,
            max_unreadable,
        };
        let model = (self.model.vit(), self.model.config(), &self.key);
        let mut report = |progress| report(ProbeEvent::Features(set, progress));
        let (store, _) =
            features(model, images, &settings, cache.as_deref(), &self.device, &mut report)?;
        Ok(store)
    }
}
