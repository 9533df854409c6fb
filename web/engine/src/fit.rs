use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use singer::Error;
use singer::distill::{Distiller, PassCache, Settings, Weights, adapters_async};
use singer::readback::read_async;
use singer::refine::Adapter;
use singer::train::{OptimizerSettings, ParamOptimizer, Schedule};

use crate::error::{Fault, Result};
use crate::model::Model;

/// Most images of a fit, and most of one step.
const MOST_IMAGES: usize = 50;
const BATCH: usize = 8;
const MOST_STEPS: usize = 100_000;
/// Bytes of the teacher's features that are kept for the next time that their images
/// come round.
const MOST_KEPT: usize = 256 << 20;

/// `FitSettings` of types.d.ts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSettings {
    layers: Vec<usize>,
    /// Of the images; 0 for the teacher's own.
    side: usize,
    rank: usize,
    quantile: f64,
    lr: f64,
    steps: usize,
    outlier: f64,
    info: f64,
}

/// What a step gave.
#[derive(Debug, Clone, Serialize)]
pub struct FitStep {
    step: usize,
    steps: usize,
    outlier: f32,
    info: f32,
    done: bool,
}

/// Adapters being fitted to a teacher by the outlier and the information loss.
pub struct Fit {
    distiller: Distiller,
    adapters: Vec<Adapter>,
    optimizer: ParamOptimizer,
    /// Images of each step in turn, `[B, 3, S, S]`.
    batches: Vec<Tensor<4>>,
    passes: PassCache,
    settings: FitSettings,
    step: usize,
}

impl Fit {
    /// Adapters at their start, in the nullspace of the blocks after `layers` and of
    /// the last one.
    pub async fn new(
        teacher: &Model,
        images: &[RgbImage],
        settings: FitSettings,
        device: &Device,
    ) -> Result<Self> {
        check(&settings, images.len())?;
        let own = teacher.config.img_size;
        let side = if settings.side == 0 { own[0].min(own[1]) } else { settings.side };
        let patch = teacher.config.patch_size;
        let side = (side / patch).max(1) * patch;
        let method = Settings {
            layers: settings.layers.clone(),
            rank: settings.rank,
            quantile: settings.quantile,
            weights: Weights { kd: 0.0, outlier: settings.outlier, info: settings.info },
            ..Settings::default()
        };
        let vit = teacher.vit.full().ok_or_else(|| {
            Fault::new(
                "adapters are fitted to teachers in full precision: load it without half precision",
            )
        })?;
        let layers = method.resolve_layers(vit.depth())?;
        let training = device.clone().autodiff();
        let (adapters, _) = adapters_async(vit, &layers, &method, 0, &training).await?;
        let grid = [side / patch; 2];
        let vit = vit.with_grid_async(teacher.config.grid(), grid).await?;
        let depth = vit.depth();
        Ok(Self {
            distiller: Distiller::new(vit, depth, method, &training)?,
            adapters,
            optimizer: ParamOptimizer::new(&OptimizerSettings::default()),
            batches: images
                .chunks(BATCH)
                .map(|images| teacher.preprocess.batch(images, [side; 2], device))
                .collect::<singer::Result<_>>()?,
            passes: PassCache::new(MOST_KEPT),
            settings,
            step: 0,
        })
    }

    /// One step on the next images.
    pub async fn step(&mut self) -> Result<FitStep> {
        let steps = self.settings.steps;
        if self.step >= steps {
            return Err(Fault::new(format!("all {steps} steps are done")));
        }
        let place = self.step % self.batches.len();
        let images = &self.batches[place];
        let pass = self.passes.pass((place, 0), || self.distiller.teacher_pass(images.clone()));
        let zero = || Tensor::<1>::zeros([1], &self.adapters[0].down.device());
        let (mut outlier, mut info) = (zero(), zero());
        for losses in self.distiller.refinements(&self.adapters, pass) {
            outlier = outlier + losses.outlier.mean();
            info = info + losses.info;
        }
        let [_, outlier, info] = self.distiller.weigh(zero(), outlier, info);
        let values = Tensor::cat(vec![outlier.clone().inner(), info.clone().inner()], 0);
        let grads = (outlier + info).backward();
        let grads = GradientsParams::from_grads(grads, &self.adapters);
        let cosine = Schedule::Cosine { warmup_epochs: 0.0, warmup_lr: 0.0, min_lr: 0.0 };
        let lr = cosine.rate(self.settings.lr, self.step, steps, steps);
        let adapters = std::mem::take(&mut self.adapters);
        self.adapters = self.optimizer.step(lr, adapters, grads, None);
        self.step += 1;
        let values = read_async(values).await?;
        for (term, &value) in ["outlier", "information"].into_iter().zip(&values) {
            if !value.is_finite() {
                return Err(Error::NotFinite { step: self.step, term: term.into(), value }.into());
            }
        }
        let [outlier, info] = [values[0], values[1]];
        Ok(FitStep { step: self.step, steps, outlier, info, done: self.step == steps })
    }

    /// The adapters as they are now, by layer, outside the training graph.
    pub fn adapters(&self) -> BTreeMap<usize, Adapter> {
        self.distiller.layers().iter().copied().zip(self.adapters.valid()).collect()
    }
}

fn check(settings: &FitSettings, images: usize) -> Result<()> {
    if images == 0 || images > MOST_IMAGES {
        return Err(Fault::new(format!("{images} images: fit to 1 to {MOST_IMAGES}")));
    }
    if settings.steps == 0 || settings.steps > MOST_STEPS {
        return Err(Fault::new(format!("{} steps: take 1 to {MOST_STEPS}", settings.steps)));
    }
    if !(settings.lr > 0.0 && settings.lr <= 1.0) {
        return Err(Fault::new(format!(
            "the learning rate is {}; it must lie above 0 and not above 1",
            settings.lr
        )));
    }
    Ok(())
}
