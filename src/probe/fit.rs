use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{FeatureRows, HeadTrainer, LinearHead};
use crate::error::{Error, Result};
use crate::train::{OptimizerSettings, Schedule};

/// How a head is fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HeadFitSettings {
    /// Passes over the images.
    pub epochs: usize,
    /// Images in a batch; the last of an epoch may be smaller.
    pub batch: usize,
    /// The optimiser, with the highest learning rate.
    pub optimizer: OptimizerSettings,
    /// The learning rate at the end of the cosine schedule, which is stepped per batch.
    pub min_lr: f64,
    /// Seed of the head's start and of the order of images.
    pub seed: u64,
}

impl Default for HeadFitSettings {
    /// For one row of features per image: 100 epochs of batches of 256 by SGD, whose rate falls
    /// from 0.5 to 1e-8.
    fn default() -> Self {
        let optimizer = OptimizerSettings::Sgd { lr: 0.5, momentum: 0.0, weight_decay: 0.0 };
        Self { epochs: 100, batch: 256, optimizer, min_lr: 1e-8, seed: 0 }
    }
}

impl HeadFitSettings {
    /// For one row of features per patch: 20 epochs of batches of 16 by AdamW, whose rate falls
    /// from 1e-3 to 1e-8.
    pub fn for_pixels() -> Self {
        Self { epochs: 20, batch: 16, optimizer: OptimizerSettings::default(), ..Self::default() }
    }

    /// Steps in an epoch of `images`.
    pub fn steps_per_epoch(&self, images: usize) -> usize {
        images.div_ceil(self.batch.max(1))
    }

    /// The learning rate of `step` (from 0) of `steps`.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let cosine = Schedule::half_cosine(self.min_lr);
        cosine.rate(self.optimizer.lr(), step, steps, 1)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        for (setting, value) in [("fit.epochs", self.epochs), ("fit.batch", self.batch)] {
            if value == 0 {
                return Err(Error::setting(setting, value, "it must be at least 1"));
            }
        }
        let lr = self.optimizer.lr();
        if !(lr.is_finite() && lr > 0.0) {
            return Err(Error::setting(
                "fit.optimizer.lr",
                lr,
                "the learning rate must be above 0",
            ));
        }
        Ok(())
    }
}

/// The loss of some outputs and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// The mean loss.
    pub loss: f64,
    /// Its gradient with respect to the outputs, row-major as they are.
    pub outputs: Vec<f32>,
}

/// The loss that a head is trained with.
pub trait HeadTask: Sync {
    /// Number of outputs C of the head.
    fn outputs(&self) -> usize;

    /// Loss and gradient for the images `indices`, whose `outputs` are
    /// `[N, R, C]` row-major; none if all targets are ignored.
    ///
    /// # Errors
    /// Errors of reading the ground truth.
    fn gradients(&self, indices: &[usize], outputs: Vec<f32>) -> Result<Option<Gradients>>;
}

/// Progress of fitting a head.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HeadFitProgress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Whether an epoch has just ended.
    pub epoch_ended: bool,
    /// Mean loss of the last step.
    pub loss: f64,
    /// Its learning rate.
    pub rate: f64,
}

/// Fits a new head to the images `indices` of `rows`, shuffled in every epoch, with a
/// cosine schedule of the learning rate.
///
/// # Errors
/// [`Error::Setting`] for settings that cannot work, [`Error::NoImages`],
/// [`Error::NoTruth`] where nothing in the images counts, [`Error::Diverged`] where the
/// loss stops being a number; errors of the task and of the device.
pub fn fit_head(
    rows: &dyn FeatureRows,
    indices: &[usize],
    task: &dyn HeadTask,
    settings: &HeadFitSettings,
    device: &Device,
    report: &mut dyn FnMut(HeadFitProgress),
) -> Result<LinearHead> {
    settings.check()?;
    if indices.is_empty() {
        return Err(Error::NoImages);
    }
    let outputs = task.outputs();
    let start = LinearHead::new(rows.dim(), outputs, settings.seed, device);
    let mut trainer = HeadTrainer::new(start, &settings.optimizer);
    let per_epoch = settings.steps_per_epoch(indices.len());
    let steps = per_epoch * settings.epochs;
    let mut learnt = false;
    for epoch in 0..settings.epochs {
        let order = shuffled(indices, settings.seed, epoch);
        for (position, batch) in order.chunks(settings.batch).enumerate() {
            let step = epoch * per_epoch + position;
            let rate = settings.rate(step, steps);
            let inputs = trainer.head.tensor(rows.gather(batch));
            let answers = crate::readback::read(trainer.head.forward(inputs.clone()))?;
            let mut loss = 0.0;
            if let Some(gradients) = task.gradients(batch, answers)? {
                loss = gradients.loss;
                if !loss.is_finite() {
                    return Err(Error::Diverged { step: step + 1, loss });
                }
                let shape = [gradients.outputs.len() / outputs, outputs];
                let data = TensorData::new(gradients.outputs, shape);
                learnt = true;
                trainer.step(inputs, Tensor::from_data(data, device), rate);
            }
            let epoch_ended = position + 1 == per_epoch;
            report(HeadFitProgress { step: step + 1, steps, epoch_ended, loss, rate });
        }
        if !learnt {
            return Err(Error::NoTruth {
                images: "training",
                reason: "every pixel is ignored or of unknown depth".into(),
            });
        }
    }
    Ok(trainer.head)
}

fn shuffled(indices: &[usize], seed: u64, epoch: usize) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
    let mut order = indices.to_vec();
    order.shuffle(&mut ChaCha8Rng::from_seed(key));
    order
}
