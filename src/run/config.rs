use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Places;
use crate::data::{
    ClassifySet, CropMode, ImageSet, ImageStream, Images, Interpolation, Loader, LoaderSettings,
    Normalise, Order, Preprocess, Split, TrainTransform, Transform,
};
use crate::device::{Device, TestedPrecision};
use crate::distill::singer::SingerSettings;
use crate::distill::{
    FitnetSettings, KdSettings, NormalisedSettings, ProteusSettings, RelationalSettings,
    VitkdSettings,
};
use crate::error::{Error, Result};
use crate::model::{ModelSpec, PreprocessOptions};
use crate::ops::Precision;
use crate::probe::EvalSettings;
use crate::refine::{AveragedSettings, ClosedSettings, NeighbourSettings, RegisterSettings};
use crate::train::{OptimizerSettings, Schedule, TrainSettings};

/// All settings of a distillation, as a TOML file of `singer distill` holds them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DistillConfig {
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// The device that computes.
    pub device: DeviceName,
    /// What matrix products are computed in; weights and losses are f32.
    pub precision: PrecisionChoice,
    /// Output folder.
    pub out: Option<PathBuf>,
    /// The teacher: weights that exist.
    pub teacher: ModelSpec,
    /// The student: a name, or weights to start from.
    pub student: ModelSpec,
    /// Images and how they become tensors.
    pub data: DataConfig,
    /// How the student is taught.
    pub method: MethodKind,
    /// What is done to the teacher's features first; by default the closed form for
    /// [`MethodKind::Singer`] and nothing for the others.
    pub refine: Option<RefineKind>,
    /// Weight of the cross-entropy with labels beside the method's loss.
    pub label_weight: f64,
    /// Adapters of this teacher: of `singer fit`, or `singer.safetensors` of a run. A closed form
    /// is used as it is, trained ones are where training starts.
    pub adapters: Option<PathBuf>,
    /// How the closed form is estimated.
    pub closed: ClosedSettings,
    /// Settings of [`RefineKind::Neighbours`].
    pub neighbours: NeighbourSettings,
    /// Settings of [`RefineKind::Registers`].
    pub registers: RegisterSettings,
    /// Settings of [`RefineKind::Averaged`].
    pub averaged: AveragedSettings,
    /// SiNGER's settings; its layers and mapping hold for every feature method.
    pub singer: SingerSettings,
    /// FitNet's settings.
    pub fitnet: FitnetSettings,
    /// Settings of the distillation by cosines.
    pub cosine: NormalisedSettings,
    /// Settings of the distillation of normalised features.
    pub normalised: NormalisedSettings,
    /// Settings of the distillation of relations.
    pub relational: RelationalSettings,
    /// Proteus's settings.
    pub proteus: ProteusSettings,
    /// ViTKD's settings.
    pub vitkd: VitkdSettings,
    /// Logit distillation's settings.
    pub kd: KdSettings,
    /// The optimiser.
    pub optimizer: OptimizerSettings,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// Length and rhythm of training.
    pub train: TrainConfig,
}

/// All settings of a supervised training, as a TOML file of `singer pretrain` holds them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PretrainConfig {
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// The device that computes.
    pub device: DeviceName,
    /// What matrix products are computed in; weights and losses are f32.
    pub precision: PrecisionChoice,
    /// Output folder.
    pub out: Option<PathBuf>,
    /// The model: a name, or weights to start from.
    pub model: ModelSpec,
    /// Images and how they become tensors.
    pub data: DataConfig,
    /// The optimiser.
    pub optimizer: OptimizerSettings,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// Length and rhythm of training.
    pub train: TrainConfig,
    /// Probability mass spread over all classes.
    pub label_smoothing: f64,
}

/// A device's name as [`Device::open`](crate::Device::open) takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceName(pub String);

impl Default for DeviceName {
    fn default() -> Self {
        Self("auto".into())
    }
}

/// How the student is taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MethodKind {
    /// From the teacher's refined features.
    #[default]
    Singer,
    /// From the teacher's features, by mean squared difference.
    Fitnet,
    /// From the teacher's features, by the cosines of their angles.
    Cosine,
    /// From the teacher's features after a LayerNorm without scale and shift.
    Normalised,
    /// From the similarities of images and of patches.
    Relational,
    /// From class token, patches and masked patches after the teacher's final norm.
    Proteus,
    /// Projections, generators and mask token trained with the student.
    Vitkd,
    /// As published: generators and mask token stay at their random start.
    VitkdReference,
    /// From the teacher's logits.
    Kd,
    /// Labels alone.
    None,
}

/// What is done to a teacher's features before a student learns from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefineKind {
    /// Nothing.
    None,
    /// Artifacts are removed in closed form; the student learns from frozen features.
    Closed,
    /// Adapters start in the left nullspace and are trained with the student (paper).
    Published,
    /// Adapters start at zero and are trained with the student by robust outliers and an
    /// identity loss ([`SingerSettings::robust`]).
    Trained,
    /// Outliers become the mean of their neighbours, SINDER's target
    /// ([`Neighbours`](crate::refine::Neighbours)).
    Neighbours,
    /// Outliers move to a test-time register ([`Registers`](crate::refine::Registers)).
    Registers,
    /// Features are averaged over moved views, as in PH-Reg
    /// ([`Averaged`](crate::refine::Averaged)); takes as many times the teacher's work.
    Averaged,
}

impl RefineKind {
    /// Whether adapters are trained with the student.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Published | Self::Trained)
    }
}

/// What a run's matrix products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PrecisionChoice {
    /// What the device's matrix units take, f32 where it has none: so on the CPU.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl PrecisionChoice {
    /// The precision where it does not depend on the device.
    pub(crate) fn stated(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Precision::F32),
            Self::F16 => Some(Precision::F16),
            Self::Bf16 => Some(Precision::Bf16),
        }
    }

    /// The precision on `device`, which has shown that it computes right in it.
    pub(crate) fn on(self, device: &Device) -> Result<TestedPrecision> {
        let precision = self.stated().unwrap_or_else(|| device.capabilities().fastest());
        device.tested_precision(precision)
    }
}

/// Images and how they become tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DataConfig {
    /// The training images, as [`Images::open`](crate::data::Images::open) takes them.
    pub path: Places,
    /// Images to measure on at the end, in the same form.
    pub val: Places,
    /// Threads that decode and augment images.
    pub workers: usize,
    /// Channel mean of values in 0..1; by default the model's.
    pub mean: Option<[f32; 3]>,
    /// Channel standard deviation of values in 0..1; by default the model's.
    pub std: Option<[f32; 3]>,
    /// Smallest and largest share of an image's area that a crop keeps.
    pub scale: [f64; 2],
    /// Smallest and largest width over height of a crop.
    pub ratio: [f64; 2],
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Share of the scaled image that the crop for measuring keeps; by default the model's.
    pub crop_pct: Option<f64>,
    /// How that crop treats other aspect ratios; by default the model's.
    pub crop_mode: Option<CropMode>,
    /// The resampling filter; by default the model's.
    pub interpolation: Option<Interpolation>,
    /// Largest share of unreadable images that is skipped; of 20 images and more one is.
    pub max_unreadable: f64,
    /// The most pixels of an image; [`MAX_PIXELS`](crate::data::MAX_PIXELS) by default.
    pub max_pixels: Option<u64>,
    /// Number of classes, for labels in shards of which that is not known before they are read.
    pub classes: Option<usize>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: Places::default(),
            val: Places::default(),
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            mean: None,
            std: None,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            crop_pct: None,
            crop_mode: None,
            interpolation: None,
            max_unreadable: 0.01,
            max_pixels: None,
            classes: None,
        }
    }
}

impl DataConfig {
    /// How images are prepared for a model whose own preparation is `own`.
    ///
    /// # Errors
    /// As [`PreprocessOptions::over`].
    pub fn preprocess(&self, own: Preprocess) -> Result<Preprocess> {
        let Self { crop_pct, crop_mode, interpolation, mean, std, .. } = *self;
        PreprocessOptions { crop_pct, crop_mode, interpolation, mean, std }.over(own)
    }

    /// The training images: those given, else those that the settings name, with class
    /// folders where they must be `labelled`; scenes are drawn at `side` pixels.
    pub(super) fn training_images(
        &self,
        given: Option<&Images>,
        labelled: bool,
        side: usize,
    ) -> Result<Images> {
        let images = self.open(given, &self.path, Split::Train, labelled, side)?;
        let images = images.ok_or(Error::Missing("training images"))?;
        match images {
            Images::Stream(_) if labelled && !images.has_labels() => Err(match images.len() {
                Some(_) => Error::NoLabels,
                None => Error::UnknownClasses,
            }),
            images => Ok(images),
        }
    }

    /// As `training_images` of those to measure on; none where there are none.
    pub(super) fn validation_images(
        &self,
        given: Option<&Images>,
        labelled: bool,
        side: usize,
    ) -> Result<Option<ImageSet>> {
        let images = self.open(given, &self.val, Split::Val, labelled, side)?;
        images.map(|images| images.into_set(None)).transpose()
    }

    /// A few images to look at, spread over those to measure on, or else over those to train on;
    /// none where none are named.
    #[cfg(feature = "figures")]
    pub(crate) fn few(&self, count: usize, side: usize) -> Result<Option<ImageSet>> {
        let (places, split) = match self.val.is_empty() {
            true => (&self.path, Split::Train),
            false => (&self.val, Split::Val),
        };
        let images = self.open(None, places, split, false, side)?;
        images.map(|images| images.into_set(Some(count))).transpose()
    }

    fn open(
        &self,
        given: Option<&Images>,
        places: &Places,
        split: Split,
        labelled: bool,
        side: usize,
    ) -> Result<Option<Images>> {
        let images = match given {
            Some(images) => images.clone(),
            None if places.is_empty() => return Ok(None),
            None => match ImageStream::find(&places.0, split)? {
                Some(stream) => stream.into(),
                None if labelled => ClassifySet::open_places(&places.0, split)?.images().into(),
                None => ImageSet::open_places(&places.0, split)?.into(),
            },
        };
        let images = match (images, self.classes) {
            (Images::Stream(stream), Some(classes)) => stream.with_classes(classes)?.into(),
            (images, _) => images.with_scene_side(side),
        };
        Ok(Some(match self.max_pixels {
            Some(pixels) => images.with_max_pixels(pixels),
            None => images,
        }))
    }

    /// The random transform of training, to `size` pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] for impossible ranges.
    pub fn train_transform(&self, size: [usize; 2]) -> Result<Transform> {
        let range = |name: &'static str, [low, high]: [f64; 2], most: f64| match low > 0.0
            && low <= high
            && high <= most
        {
            true => Ok(()),
            false => Err(Error::setting(
                name,
                format!("[{low}, {high}]"),
                "it must be the smallest and the largest value, above 0",
            )),
        };
        range("scale", self.scale, 1.0)?;
        range("ratio", self.ratio, f64::MAX)?;
        if !(0.0..=1.0).contains(&self.flip) {
            return Err(Error::setting("flip", self.flip, "it is a probability"));
        }
        let Self { scale, ratio, flip, .. } = *self;
        Ok(Transform::Train(TrainTransform { size, scale, ratio, flip }))
    }

    /// How images are measured: `limit` of them, evenly spread; all without one.
    pub fn eval_settings(
        &self,
        size: [usize; 2],
        preprocess: &Preprocess,
        batch: usize,
        limit: Option<usize>,
    ) -> EvalSettings {
        let workers = self.workers.max(1);
        let max_unreadable = self.max_unreadable;
        EvalSettings {
            batch,
            workers,
            limit,
            max_unreadable,
            ..EvalSettings::new(size, preprocess)
        }
    }

    /// The part of the settings that changes what is learnt.
    pub(super) fn identity(&self, normalise: Normalise) -> serde_json::Value {
        serde_json::json!({
            "path": self.path,
            "mean": normalise.mean,
            "std": normalise.std,
            "scale": self.scale,
            "ratio": self.ratio,
            "flip": self.flip,
        })
    }
}

/// Length and rhythm of training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Images in a batch.
    pub batch: usize,
    /// Passes over the images.
    pub epochs: f64,
    /// Steps in all, instead of epochs.
    pub steps: Option<usize>,
    /// Largest global norm of the gradients; none for no clipping.
    pub clip: Option<f64>,
    /// Steps between two readings of the losses, which report them and stop at NaN.
    pub log_every: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: usize,
    /// Images on which patch norms are measured.
    pub measure: usize,
    /// CPU threads that share a batch; all of them by default.
    pub threads: Option<usize>,
    /// Micro-batches that a batch goes in, one after the other; the gradients are the whole
    /// batch's.
    pub accumulate: usize,
    /// Compute the student's activations anew in the backward pass instead of keeping them.
    pub recompute: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 64,
            epochs: 100.0,
            steps: None,
            clip: None,
            log_every: 10,
            checkpoint_every: 500,
            measure: 256,
            threads: None,
            accumulate: 1,
            recompute: false,
        }
    }
}

impl TrainConfig {
    /// The loader's settings.
    pub(super) fn loader(&self, data: &DataConfig, seed: u64) -> LoaderSettings {
        LoaderSettings {
            batch: self.batch,
            seed,
            workers: data.workers,
            order: Order::Shuffled,
            max_unreadable: data.max_unreadable,
            part: (0, 1),
        }
    }

    /// Steps in all.
    pub(super) fn steps(&self, images: Option<usize>, loader: &LoaderSettings) -> Result<usize> {
        if let Some(images) = images.filter(|&images| loader.batch == 0 || loader.batch > images) {
            let expected =
                format!("the data set has {images} images: use a batch of 1 to {images}");
            return Err(Error::setting("batch", loader.batch, expected));
        }
        if let Some(clip) = self.clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(Error::setting("clip", clip, "it must be a number above 0"));
        }
        if !(1..=self.batch).contains(&self.accumulate) {
            let expected = format!("a batch of {0} goes in 1 to {0} micro-batches", self.batch);
            return Err(Error::setting("accumulate", self.accumulate, expected));
        }
        let steps = match (self.steps, images) {
            (Some(steps), _) => steps,
            (None, None) => return Err(Error::UnknownLength),
            (None, Some(images)) => {
                let per_epoch = Loader::batches_per_epoch(images, loader) as f64;
                (self.epochs * per_epoch).round() as usize
            }
        };
        match steps {
            0 => Err(Error::NothingToDo {
                epochs: self.epochs,
                images: images.unwrap_or(0),
                batch: self.batch,
            }),
            steps => Ok(steps),
        }
    }

    /// The training loop's settings, as far as they are here.
    pub(super) fn settings(&self, out: &Path, steps: usize) -> TrainSettings {
        let &Self { clip, log_every, checkpoint_every, accumulate, recompute, .. } = self;
        TrainSettings::new(out, steps).with(|settings| {
            settings.clip = clip;
            settings.log_every = log_every;
            settings.checkpoint_every = checkpoint_every;
            settings.accumulate = accumulate;
            settings.recompute = recompute;
        })
    }

    /// Shards that batches are split into: on the CPU one for each thread.
    pub(crate) fn shards(&self, device: &Device) -> usize {
        match device.is_cpu() {
            true => self.threads.unwrap_or_else(|| device.shards()).max(1),
            false => 1,
        }
    }
}
