use image::RgbImage;
use serde::{Deserialize, Serialize};
use singer::Device;
use singer::distill::singer::{AdapterFit, SingerSettings};
use singer::refine::Adapters;

use crate::error::{Fault, Result};
use crate::model::Model;

/// Most images of a fit.
const MOST_IMAGES: usize = 50;
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
pub struct Fit(AdapterFit);

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
        let (vit, batches) = teacher.at_side(images, settings.side, device).await?;
        let fit = singer::FitSettings::default().with(|fit| {
            fit.singer = SingerSettings::default().with(|s| {
                s.layers = settings.layers;
                s.rank = settings.rank;
                s.quantile = settings.quantile;
                s.weights.outlier = settings.outlier;
                s.weights.info = settings.info;
            });
            fit.steps = settings.steps;
            fit.lr = settings.lr;
            fit.cache_bytes = MOST_KEPT;
        });
        Ok(Self(AdapterFit::new_async(&vit, batches, fit).await?))
    }

    /// One step on the next images.
    pub async fn step(&mut self) -> Result<FitStep> {
        let losses = self.0.step().ok_or_else(|| Fault::new("all steps are done"))?;
        let singer::distill::singer::FitStep { step, steps, outlier, information, .. } =
            losses.read_async().await?;
        Ok(FitStep { step, steps, outlier, info: information, done: step == steps })
    }

    /// The adapters as they are now, by layer, outside the training graph.
    pub fn adapters(&self) -> Adapters {
        self.0.adapters()
    }
}

fn check(settings: &FitSettings, images: usize) -> Result<()> {
    if images == 0 || images > MOST_IMAGES {
        return Err(Fault::new(format!("{images} images: fit to 1 to {MOST_IMAGES}")));
    }
    check_steps(settings.steps, settings.lr)
}

/// Refuses what no training in the page can have.
pub fn check_steps(steps: usize, lr: f64) -> Result<()> {
    if steps == 0 || steps > MOST_STEPS {
        return Err(Fault::new(format!("{steps} steps: take 1 to {MOST_STEPS}")));
    }
    if !(lr > 0.0 && lr <= 1.0) {
        return Err(Fault::new(format!(
            "the learning rate is {lr}; it must lie above 0 and not above 1"
        )));
    }
    Ok(())
}
