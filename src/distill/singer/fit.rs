use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
#[cfg(not(target_family = "wasm"))]
use serde_json::json;

use super::{Adapter, Refinement, SingerSettings, TeacherFeatures, adapters_async};
#[cfg(not(target_family = "wasm"))]
use super::{LayerNorms, adapters_on};
use crate::error::{Error, Result};
use crate::readback::read_async;
use crate::refine::Adapters;
#[cfg(not(target_family = "wasm"))]
use crate::train::Ranks;
use crate::train::{
    BatchLoss, Loss, OptimizerSettings, ParamOptimizer, Schedule, Shard, Shards, Task,
};
use crate::vit::Vit;

/// How adapters are fitted without a student.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FitSettings {
    /// Layers, rank, quantile, basis, losses and their weights; that of KD does not
    /// count, as there is no student.
    pub singer: SingerSettings,
    /// Steps, each on one batch of the images in turn.
    pub steps: usize,
    /// AdamW's highest learning rate; a half cosine leads from it to zero.
    pub lr: f64,
    /// Most images to take of a set, evenly spread; all are held in memory.
    pub images: usize,
    /// Seed of random bases.
    pub seed: u64,
    /// Bytes of the teacher's features that are kept for the next time that their images
    /// come round.
    pub cache_bytes: usize,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self {
            singer: SingerSettings::default(),
            steps: 300,
            lr: 0.01,
            images: 1024,
            seed: 0,
            cache_bytes: 2 << 30,
        }
    }
}

impl FitSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::FitSettings::default().with(|s| s.steps = 1000);
    /// assert_eq!((settings.steps, settings.lr), (1000, 0.01));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A step of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FitStep {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// `λ_outlier L_outlier / |D|`.
    pub outlier: f32,
    /// `λ_info L_info / |D|`.
    pub information: f32,
    /// The weighted identity loss over |D|; 0 where it has no weight.
    pub identity: f32,
}

/// The losses of a step, which may still be on their way from the device.
#[derive(Debug)]
pub struct FitLosses {
    step: usize,
    steps: usize,
    /// Outlier, information and, where it has a weight, identity loss, `[2]` or `[3]`.
    values: Tensor<1>,
}

impl FitLosses {
    /// Waits for the losses.
    ///
    /// # Errors
    /// [`Error::NotFinite`] and [`Error::Gpu`].
    #[cfg(not(target_family = "wasm"))]
    pub fn read(self) -> Result<FitStep> {
        let Self { step, steps, values } = self;
        finite(step, steps, &crate::readback::read(values)?)
    }

    /// As `read`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// [`Error::NotFinite`] and [`Error::Gpu`].
    pub async fn read_async(self) -> Result<FitStep> {
        let Self { step, steps, values } = self;
        finite(step, steps, &read_async(values).await?)
    }
}

fn finite(step: usize, steps: usize, values: &[f32]) -> Result<FitStep> {
    for (term, &value) in ["outlier", "information", "identity"].into_iter().zip(values) {
        if !value.is_finite() {
            return Err(Error::NotFinite {
                step,
                term: format!("{term} loss"),
                value,
                origin: None,
            });
        }
    }
    let identity = values.get(2).copied().unwrap_or_default();
    Ok(FitStep { step, steps, outlier: values[0], information: values[1], identity })
}

/// Adapters being fitted to a teacher by the outlier and the information loss, without a
/// student and without labels: a head start for every student of that teacher.
pub struct AdapterFit {
    task: FitTask,
    adapters: Vec<Adapter>,
    /// Images of each step in turn, `[B, 3, H, W]`.
    batches: Vec<Tensor<4>>,
    optimizer: ParamOptimizer,
    shards: Shards,
    training: Device,
    settings: FitSettings,
    step: usize,
}

impl AdapterFit {
    /// Adapters at their start, for a teacher and batches of its images, `[B, 3, H, W]` each,
    /// on the plain device.
    ///
    /// # Errors
    /// As [`Refinement::new`]; [`Error::Svd`]; [`Error::NoImages`].
    #[cfg(not(target_family = "wasm"))]
    pub fn new(
        teacher: &Vit,
        batches: Vec<Tensor<4>>,
        settings: FitSettings,
        shards: Shards,
    ) -> Result<Self> {
        let training = teacher.device().autodiff();
        let layers = settings.singer.resolve_layers(teacher.depth())?;
        let (singer, seed) = (&settings.singer, settings.seed);
        let (start, _) = adapters_on(teacher, &layers, singer, seed, &batches, &training)?;
        Self::start(teacher, batches, start, settings, shards, training)
    }

    /// As `new` on one shard, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// As `new`, and [`Error::Gpu`].
    pub async fn new_async(
        teacher: &Vit,
        batches: Vec<Tensor<4>>,
        settings: FitSettings,
    ) -> Result<Self> {
        let training = teacher.device().autodiff();
        let layers = settings.singer.resolve_layers(teacher.depth())?;
        let (singer, seed) = (&settings.singer, settings.seed);
        let (start, _) = adapters_async(teacher, &layers, singer, seed, &training).await?;
        Self::start(teacher, batches, start, settings, Shards::one(), training)
    }

    fn start(
        teacher: &Vit,
        batches: Vec<Tensor<4>>,
        adapters: Vec<Adapter>,
        settings: FitSettings,
        shards: Shards,
        training: Device,
    ) -> Result<Self> {
        if batches.is_empty() {
            return Err(Error::NoImages);
        }
        let refinement = Refinement::new(teacher.clone(), &settings.singer, &training)?;
        let cache = FeatureCache::new(settings.cache_bytes);
        let task = FitTask { refinement, cache, batches: batches.len() };
        let optimizer = ParamOptimizer::new(&OptimizerSettings::default());
        Ok(Self { task, adapters, batches, optimizer, shards, training, settings, step: 0 })
    }

    /// One step on the next batch; none when all are done.
    pub fn step(&mut self) -> Option<FitLosses> {
        if self.step >= self.settings.steps {
            return None;
        }
        let Self { task, adapters, training, .. } = &*self;
        let images = self.batch();
        let labels = vec![0; images.dims()[0]];
        let (loss, gradients) =
            self.shards.backward(task, adapters, training, images, &labels, self.step);
        Some(self.follow(loss, gradients))
    }

    /// The images of the next step.
    fn batch(&self) -> &Tensor<4> {
        &self.batches[self.step % self.batches.len()]
    }

    fn follow(&mut self, loss: BatchLoss, gradients: GradientsParams) -> FitLosses {
        let FitSettings { steps, lr, .. } = self.settings;
        let cosine = Schedule::half_cosine(0.0);
        let rate = cosine.rate(lr, self.step, steps, steps);
        let adapters = std::mem::take(&mut self.adapters);
        self.adapters = self.optimizer.step(rate, adapters, gradients, None);
        self.step += 1;
        let values = loss.terms.into_iter().map(|(_, value)| value).collect();
        FitLosses { step: self.step, steps, values: Tensor::cat(values, 0) }
    }

    /// Goes on to the last step.
    ///
    /// # Errors
    /// [`Error::NotFinite`] and [`Error::Gpu`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run(&mut self, report: &mut dyn FnMut(FitStep)) -> Result<()> {
        self.run_on(&Ranks::default(), report)
    }

    /// As `run`, with other ranks, each of which has the same batches and computes its share of
    /// each. All start with the first one's adapters and end with the same.
    ///
    /// # Errors
    /// As `run`; [`Error::Rank`], [`Error::OtherRank`], [`Error::RanksDiffer`] and
    /// [`Error::RanksDrifted`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run_on(&mut self, ranks: &Ranks, report: &mut dyn FnMut(FitStep)) -> Result<()> {
        if ranks.several() {
            let images: Vec<_> = self.batches.iter().map(|batch| batch.dims()).collect();
            let alike = json!({ "fit": self.settings, "step": self.step, "images": images });
            ranks.check_alike(&alike.to_string())?;
            let adapters = std::mem::take(&mut self.adapters);
            self.adapters = ranks.start_alike(adapters, &self.training)?;
        }
        while self.step < self.settings.steps {
            let Self { shards, task, adapters, training, .. } = &*self;
            let (images, step) = (self.batch(), self.step);
            let (loss, gradients) =
                ranks.backward_whole(shards, task, adapters, training, images, step)?;
            let at = loss.not_finite.unwrap_or_default();
            let losses = self.follow(loss, gradients);
            report(losses.read().map_err(|error| ranks.found_by_all(at, error))?);
        }
        ranks.check_parameters(&self.adapters, self.step)
    }

    /// The adapters as they are now, on the plain device.
    pub fn adapters(&self) -> Adapters {
        self.task.refinement.layers().iter().copied().zip(self.adapters.valid()).collect()
    }

    /// Patch norms of raw and refined features on the images of the fit.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    #[cfg(not(target_family = "wasm"))]
    pub fn norms(&self) -> Result<Vec<LayerNorms>> {
        self.task.refinement.norms(&self.adapters.valid(), self.batches.iter().cloned().map(Ok))
    }
}

/// Outlier and information loss of a teacher's adapters alone.
#[derive(Debug)]
struct FitTask {
    refinement: Refinement,
    /// Of the images of each batch, which come in turn.
    cache: FeatureCache,
    batches: usize,
}

impl Task for FitTask {
    type Model = Vec<Adapter>;

    fn loss(&self, adapters: &Vec<Adapter>, shard: Shard<'_>) -> Loss {
        let place = (shard.step % self.batches, shard.first);
        let features = self.cache.get(place, || self.refinement.features(shard.images));
        let refined = self.refinement.refine(adapters, features);
        Loss { terms: self.refinement.terms(refined), ..Loss::default() }
    }
}

/// Caches the teacher's features of recurring images, as far as a bound of memory allows:
/// the teacher does not change.
#[derive(Debug)]
struct FeatureCache {
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    /// By batch, and first image within it.
    features: HashMap<(usize, usize), TeacherFeatures>,
}

impl FeatureCache {
    fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Mutex::default() }
    }

    /// The features of the images of a batch from the given one on, computed where they are
    /// not kept.
    fn get(
        &self,
        images: (usize, usize),
        compute: impl FnOnce() -> TeacherFeatures,
    ) -> TeacherFeatures {
        // The shards of a batch compute theirs at the same time.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(features) = kept().features.get(&images) {
            return features.clone();
        }
        let features = compute();
        let bytes = features.bytes();
        let mut kept = kept();
        if kept.bytes + bytes <= self.most_bytes {
            kept.bytes += bytes;
            kept.features.insert(images, features.clone());
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    fn features(value: f32) -> TeacherFeatures {
        let tokens = Tensor::<3>::full([1, 2, 4], value, &Device::flex());
        TeacherFeatures { next: vec![Some(tokens.clone()), None], layers: vec![tokens.clone(); 2] }
    }

    #[test]
    fn features_are_computed_once_while_there_is_room() {
        let bytes = features(0.0).bytes();
        assert_eq!(bytes, 3 * 2 * 4 * 4);
        let cache = FeatureCache::new(2 * bytes + 1);
        let get = |key: (usize, usize)| {
            let value = (10 * key.0 + key.1) as f32;
            let mut computed = false;
            let got = cache.get(key, || {
                computed = true;
                features(value)
            });
            assert_eq!(got.layers[1].clone().max().into_scalar::<f32>(), value);
            computed
        };
        let asked = [(0, 0), (0, 16), (1, 0), (0, 0), (0, 16), (1, 0)];
        assert_eq!(asked.map(get), [true, true, true, false, false, true]);
    }
}
