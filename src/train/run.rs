use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::json;

use super::checkpoint::first_difference;
use super::metrics::METRICS;
use super::ranks::Merged;
use super::shards::BatchShare;
use super::{
    BatchLoss, Checkpoint, LossScale, LossScaleSettings, MetricsFile, OptimizerSettings, Pace,
    ParamOptimizer, Ranks, Record, Schedule, Shards, Task,
};
use crate::data::{Images, Loader, LoaderSettings, Normalise, PassedOver, Transform};
use crate::device::Device as OpenDevice;
use crate::error::{Error, NotFiniteOrigin, Result};
use crate::readback::read;
use crate::weights::NamedTensors;

/// Images and how they become tensors.
#[derive(Debug)]
pub struct Feed {
    /// The images.
    pub images: Images,
    /// Crop and augmentation.
    pub transform: Transform,
    /// Mean and deviation.
    pub normalise: Normalise,
}

/// How a run goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainSettings {
    /// Folder for checkpoint and metrics.
    pub out: PathBuf,
    /// Steps in all.
    pub steps: usize,
    /// The optimiser.
    pub optimizer: OptimizerSettings,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// Largest norm of all gradients together; none for no clipping.
    pub clip: Option<f64>,
    /// Steps between two looks at the losses.
    pub log_every: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: usize,
    /// Description of the run; a checkpoint of another one is not resumed.
    pub description: String,
    /// Go on from the folder's checkpoint, if there is one.
    pub resume: bool,
    /// Batches and their order.
    pub loader: LoaderSettings,
    /// Shards that a batch is split into, one for each CPU thread; 1 on a GPU.
    pub shards: usize,
    /// Micro-batches of each shard; see [`Shards::accumulate`].
    pub accumulate: usize,
    /// Whether activations are computed anew; see [`Shards::recompute`].
    pub recompute: bool,
    /// How the loss is scaled, in half precision alone.
    pub loss_scale: Option<LossScaleSettings>,
    /// Who trains together; each batch is shared by them.
    pub ranks: Ranks,
}

impl TrainSettings {
    /// `steps` steps into the folder `out`, which must exist: the paper's optimiser and
    /// schedule, batches of 64, a look at the losses every 10 and a checkpoint every 500
    /// steps, in one shard.
    pub fn new(out: impl Into<PathBuf>, steps: usize) -> Self {
        Self {
            out: out.into(),
            steps,
            optimizer: OptimizerSettings::default(),
            schedule: Schedule::default(),
            clip: None,
            log_every: 10,
            checkpoint_every: 500,
            description: String::new(),
            resume: false,
            loader: LoaderSettings::default(),
            shards: 1,
            accumulate: 1,
            recompute: false,
            loss_scale: None,
            ranks: Ranks::default(),
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        self.optimizer.check()?;
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => {
                Err(Error::setting("clip", clip, "it must be a number above 0"))
            }
            _ => Ok(()),
        }
    }

    /// What all ranks must have alike, for a set of so many images.
    fn for_all_ranks(&self, images: Option<usize>) -> String {
        let run = serde_json::from_str(&self.description);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "run": run.unwrap_or_else(|_| json!(self.description)),
            "steps": self.steps,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "clip": self.clip,
            "log_every": self.log_every,
            "checkpoint_every": self.checkpoint_every,
            "batch": self.loader.batch,
            "seed": self.loader.seed,
            "max_unreadable": self.loader.max_unreadable,
            "images": images,
            "shards": self.shards,
            "accumulate": self.accumulate,
            "recompute": self.recompute,
            "scaled": self.loss_scale.is_some(),
        })
        .to_string()
    }

    /// The settings with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Where a run stands.
#[derive(Debug, Clone)]
pub struct Progress<'a> {
    /// The newest step's record.
    pub record: &'a Record,
    /// Steps in all.
    pub steps: usize,
    /// Images a second since the last report.
    pub images_per_second: f64,
    /// Share of that time spent waiting for data, 0 to 1.
    pub waiting: f64,
    /// Time left at this pace.
    pub eta: Duration,
    /// Unreadable images so far; none where there are none.
    pub passed_over: Option<PassedOver>,
    /// Steps left out so far because gradients were beyond half precision.
    pub skipped: usize,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done.
    Finished {
        /// The first and the last step's record of this process, where it did any.
        ends: Option<(Record, Record)>,
    },
    /// Stopped on request; a checkpoint is written.
    Interrupted {
        /// Steps done.
        step: usize,
        /// The rank that was asked to stop.
        rank: usize,
    },
}

/// Name of the checkpoint in a run's folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Trains `model` (on an autodiff device) until `settings.steps` or until `stop`
/// is set. Every loss is looked at before the state that it led to is kept.
///
/// Of several [`ranks`](TrainSettings::ranks) all start with the first one's parameters and
/// share every batch; the first one alone writes, and a flag on any of them stops all after
/// the same step.
///
/// # Errors
/// [`Error::NotFinite`] at the first NaN or infinite term; errors of the data
/// and of files; of several ranks [`Error::Rank`], [`Error::OtherRank`],
/// [`Error::RanksDiffer`] and [`Error::RanksDrifted`].
pub fn train<T: Task>(
    task: &T,
    mut model: T::Model,
    device: &Device,
    feed: Feed,
    settings: &TrainSettings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<(T::Model, Outcome)> {
    settings.check()?;
    let ranks = &settings.ranks;
    let file = settings.out.join(CHECKPOINT);
    let mut optimizer = ParamOptimizer::new(&settings.optimizer);
    let mut step = 0;
    let mut scale = settings.loss_scale.map(LossScale::new);
    if settings.resume && ranks.is_first() && file.exists() {
        let checkpoint = Checkpoint::read(&file)?;
        let say = |name: &str, old: &_, new: &_| format!(" ({name} was {old}, now {new})");
        let difference = first_difference(&checkpoint.run, &settings.description, say);
        if let Some(difference) = difference {
            return Err(Error::OtherRun { path: file, difference });
        }
        step = checkpoint.step;
        // A run that went on in f32 for a while starts again at the first scale.
        scale = scale.map(|fresh| checkpoint.loss_scale.unwrap_or(fresh));
        model = checkpoint.restore(&file, model, &mut optimizer, device)?;
    }
    let Feed { images, transform, normalise } = feed;
    if ranks.several() {
        ranks.check_alike(&settings.for_all_ranks(images.len()))?;
        let state = || {
            let run = &settings.description;
            Checkpoint::capture(&model, &optimizer, step, run, scale).to_bytes()
        };
        let state = ranks.from_first(state)?;
        if !ranks.is_first() {
            let checkpoint = Checkpoint::from_bytes(state)?;
            (step, scale) = (checkpoint.step, checkpoint.loss_scale);
            model = checkpoint.restore(&file, model, &mut optimizer, device)?;
        }
    }
    let size = transform.size();
    let metrics = settings.out.join(METRICS);
    let mut metrics = ranks.is_first().then(|| MetricsFile::open(&metrics, step)).transpose()?;
    // Where an epoch's length is not known, the run is taken as the paper's hundred.
    let per_epoch = match images.len() {
        Some(count) => Loader::batches_per_epoch(count, &settings.loader),
        None => settings.steps / 100,
    };
    let per_epoch = per_epoch.max(1);
    let plain = device.clone().inner();
    let is_cpu = OpenDevice::of(&plain).is_cpu();
    let start = if is_cpu { Loader::start } else { Loader::start_with_bytes };
    let batches = |step, rank| {
        let loader = LoaderSettings { part: (rank, ranks.count()), ..settings.loader };
        start(images.clone(), transform, normalise, loader, step)
    };
    let mut loader = batches(step, ranks.rank())?;
    let mut merged = Merged::default();
    let explain = |(error, rank)| {
        let Error::NotFinite { step, term, value, .. } = error else {
            return error;
        };
        // The first rank alone writes; it looks at what the other one had.
        let origin = ranks.is_first().then(|| {
            let mut loader = batches(step - 1, rank)?;
            let batch = loader.next().ok_or(Error::NoImages)??;
            let pixels = batch.pixels.to_device(size, &plain);
            let file = settings.out.join(format!("not-finite-step-{step}.safetensors"));
            keep_batch(&pixels, &batch.labels, &file)?;
            Ok(NotFiniteOrigin { place: task.not_finite_in(&pixels)?, batch: file })
        });
        let origin = origin.and_then(Result::<_>::ok).map(Box::new);
        ranks.found_by_all(rank, Error::NotFinite { step, term, value, origin })
    };
    // What a rank computes in one piece is not split over the cores of other ranks.
    let shards = match ranks.several() && is_cpu {
        true => Shards::on_own_threads(settings.shards.max(1))?,
        false => Shards::new(settings.shards)?,
    };
    let shards = shards.accumulate(settings.accumulate).recompute(settings.recompute);
    let mut pending = Pending::default();
    let mut first = None;
    let mut last = None;
    let keep = |model: &T::Model, optimizer: &ParamOptimizer, step, scale| match ranks.is_first() {
        true => {
            Checkpoint::capture(model, optimizer, step, &settings.description, scale).write(&file)
        }
        false => Ok(()),
    };

    while step < settings.steps {
        let asked = Instant::now();
        let batch = loader.next().ok_or(Error::NoImages).flatten();
        let batch = ranks.agree(batch)?;
        merged.exchange(ranks, &loader, (step + 1) * settings.loader.batch)?;
        pending.waited += asked.elapsed();
        let count = if ranks.several() { settings.loader.batch } else { batch.labels.len() };
        let lr = settings.schedule.rate(settings.optimizer.lr(), step, settings.steps, per_epoch);

        let pixels = batch.pixels.to_device(size, &plain);
        let by = scale.map_or(1.0, |scale| scale.scale);
        let rank = (ranks.rank(), ranks.count());
        let (images, labels) = (&pixels, &batch.labels[..]);
        let share = BatchShare { images, labels, of: count, rank, step, scale: by };
        let (mut loss, grads) = ranks.backward(&shards, task, &model, device, &share)?;
        step += 1;
        let mut scale_can_help = true;
        match (&mut scale, settings.loss_scale) {
            (Some(scale), Some(rule)) => {
                let finite;
                (model, finite) = optimizer.step_scaled(lr, model, grads, settings.clip, by)?;
                scale_can_help = scale.update(finite, rule);
            }
            _ => model = optimizer.step(lr, model, grads, settings.clip),
        }
        if let Some(rows) = loss.remembered.take() {
            model = task.remember(model, rows);
        }
        let scaled = scale.map(|LossScale { skipped, .. }| (by, skipped));
        pending.push(step, step as f64 / per_epoch as f64, lr, count, loss, scaled);
        if !scale_can_help {
            // Where a loss itself is not finite, that is the better message.
            pending.read().map_err(&explain)?;
            let term = "norm of the gradients".to_owned();
            let value = f32::INFINITY;
            return Err(explain((Error::NotFinite { step, term, value, origin: None }, 0)));
        }

        let asked_by = ranks.any(stop.load(Ordering::Relaxed))?;
        let interrupted = asked_by.is_some();
        let done = step == settings.steps;
        let due = step % settings.checkpoint_every.max(1) == 0;
        if step % settings.log_every.max(1) == 0 || due || done || interrupted {
            let Read { records, images_per_second, waiting, each } =
                pending.read().map_err(&explain)?;
            ranks.check_parameters(&model, step)?;
            if let Some(metrics) = &mut metrics {
                metrics.append(&records)?;
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let time = time.as_secs_f64();
                Pace { step, time, images_per_second, waiting }.append(&settings.out)?;
            }
            if let Some(record) = records.last() {
                let left = (settings.steps - step) as u32;
                report(Progress {
                    record,
                    steps: settings.steps,
                    images_per_second,
                    waiting,
                    eta: each * left,
                    passed_over: loader.passed_over(),
                    skipped: scale.map_or(0, |scale| scale.skipped),
                });
            }
            first = first.or_else(|| records.first().cloned());
            last = records.last().cloned().or(last);
        }
        if due || done || interrupted {
            keep(&model, &optimizer, step, scale)?;
        }
        if let Some(rank) = asked_by.filter(|_| !done) {
            return Ok((model, Outcome::Interrupted { step, rank }));
        }
    }
    Ok((model, Outcome::Finished { ends: first.zip(last) }))
}

/// Writes a batch as the model sees it: `images` `[B, 3, H, W]`, normalised, and `labels` `[B]`.
fn keep_batch(images: &Tensor<4>, labels: &[usize], file: &Path) -> Result<()> {
    let labels: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let tensors = [
        ("images".to_owned(), TensorData::new(read(images.clone())?, images.dims())),
        ("labels".to_owned(), TensorData::new(labels, [images.dims()[0]])),
    ];
    let metadata = HashMap::new();
    NamedTensors { tensors: BTreeMap::from(tensors), metadata }.write(file)
}

/// Steps whose losses are still on the device. Reading them together lets the
/// device run ahead.
struct Pending {
    steps: Vec<Step>,
    values: Vec<Tensor<1>>,
    images: usize,
    since: Instant,
    waited: Duration,
}

/// A step, whose values are to come.
struct Step {
    record: Record,
    /// What the values are, the terms first.
    names: Vec<&'static str>,
    terms: usize,
    /// The first rank whose terms are not finite.
    not_finite: Option<usize>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            values: Vec::new(),
            images: 0,
            since: Instant::now(),
            waited: Duration::ZERO,
        }
    }
}

/// What the steps since the last reading came to.
struct Read {
    records: Vec<Record>,
    images_per_second: f64,
    /// The share of the time that waited for data.
    waiting: f64,
    /// The time of a step.
    each: Duration,
}

impl Pending {
    fn push(
        &mut self,
        step: usize,
        epoch: f64,
        lr: f64,
        images: usize,
        loss: BatchLoss,
        scaled: Option<(f32, usize)>,
    ) {
        let mut record = Record { step, epoch, lr, loss: 0.0, terms: Default::default() };
        if let Some((scale, skipped)) = scaled {
            record.terms.insert("loss_scale".into(), scale);
            record.terms.insert("skipped_steps".into(), skipped as f32);
        }
        let terms = loss.terms.len();
        let (names, values): (Vec<_>, Vec<_>) =
            loss.terms.clone().into_iter().chain(loss.observations()).unzip();
        let not_finite = loss.not_finite;
        self.steps.push(Step { record, names, terms, not_finite });
        self.values.push(Tensor::cat(values, 0));
        self.images += images;
    }

    /// With an error comes the rank that has it.
    fn read(&mut self) -> Result<Read, (Error, usize)> {
        let all = read(Tensor::cat(std::mem::take(&mut self.values), 0));
        let all = all.map_err(|error| (error, 0))?;
        let mut values = all.into_iter();
        let count = self.steps.len().max(1);
        let mut records = Vec::with_capacity(count);
        for Step { mut record, names, terms, not_finite } in self.steps.drain(..) {
            for (index, (name, value)) in names.into_iter().zip(values.by_ref()).enumerate() {
                if index < terms {
                    if !value.is_finite() {
                        let (step, term) = (record.step, format!("{name} loss"));
                        let error = Error::NotFinite { step, term, value, origin: None };
                        return Err((error, not_finite.unwrap_or(0)));
                    }
                    record.loss += value;
                }
                record.terms.insert(name.to_owned(), value);
            }
            records.push(record);
        }
        let elapsed = self.since.elapsed();
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let read = Read {
            records,
            images_per_second: self.images as f64 / seconds,
            waiting: (self.waited.as_secs_f64() / seconds).min(1.0),
            each: elapsed / count as u32,
        };
        *self = Self::default();
        Ok(read)
    }
}
