use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use super::{
    BatchLoss, Checkpoint, LossScale, LossScaleSettings, MetricsFile, OptimizerSettings,
    ParamOptimizer, Record, Schedule, Shards, Task,
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
    /// Stopped on request after this many steps; a checkpoint is written.
    Interrupted(usize),
}

/// Name of the checkpoint in a run's folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Trains `model` (on an autodiff device) until `settings.steps` or until `stop`
/// is set. Every loss is looked at before the state that it led to is kept.
///
/// # Errors
/// [`Error::NotFinite`] at the first NaN or infinite term; errors of the data
/// and of files.
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
    let file = settings.out.join(CHECKPOINT);
    let mut optimizer = ParamOptimizer::new(&settings.optimizer);
    let mut step = 0;
    let mut scale = settings.loss_scale.map(LossScale::new);
    if settings.resume && file.exists() {
        let checkpoint = Checkpoint::read(&file)?;
        if let Some(difference) = first_difference(&checkpoint.run, &settings.description) {
            return Err(Error::OtherRun { path: file, difference });
        }
        step = checkpoint.step;
        // A run that went on in f32 for a while starts again at the first scale.
        scale = scale.map(|fresh| checkpoint.loss_scale.unwrap_or(fresh));
        model = checkpoint.restore(&file, model, &mut optimizer, device)?;
    }
    let Feed { images, transform, normalise } = feed;
    let size = transform.size();
    let mut metrics = MetricsFile::open(&settings.out.join("metrics.jsonl"), step)?;
    // Where an epoch's length is not known, the run is taken as the paper's hundred.
    let per_epoch = match images.len() {
        Some(count) => Loader::batches_per_epoch(count, &settings.loader),
        None => settings.steps / 100,
    };
    let per_epoch = per_epoch.max(1);
    let plain = device.clone().inner();
    let start = match OpenDevice::of(&plain).is_cpu() {
        true => Loader::start,
        false => Loader::start_with_bytes,
    };
    let batches = |step| start(images.clone(), transform, normalise, settings.loader, step);
    let mut loader = batches(step)?;
    let explain = |error| {
        let Error::NotFinite { step, term, value, .. } = error else {
            return error;
        };
        let origin = batches(step - 1).and_then(|mut loader| {
            let batch = loader.next().ok_or(Error::NoImages)??;
            let pixels = batch.pixels.to_device(size, &plain);
            let file = settings.out.join(format!("not-finite-step-{step}.safetensors"));
            keep_batch(&pixels, &batch.labels, &file)?;
            Ok(NotFiniteOrigin { place: task.not_finite_in(&pixels)?, batch: file })
        });
        Error::NotFinite { step, term, value, origin: origin.ok().map(Box::new) }
    };
    let shards =
        Shards::new(settings.shards)?.accumulate(settings.accumulate).recompute(settings.recompute);
    let mut pending = Pending::default();
    let mut first = None;
    let mut last = None;
    let keep = |model: &T::Model, optimizer: &ParamOptimizer, step, scale| {
        Checkpoint::capture(model, optimizer, step, &settings.description, scale).write(&file)
    };

    while step < settings.steps {
        let asked = Instant::now();
        let batch = loader.next().ok_or(Error::NoImages)??;
        pending.waited += asked.elapsed();
        let count = batch.labels.len();
        let lr = settings.schedule.rate(settings.optimizer.lr(), step, settings.steps, per_epoch);

        let pixels = batch.pixels.to_device(size, &plain);
        let by = scale.map_or(1.0, |scale| scale.scale);
        let (mut loss, grads) =
            shards.backward_scaled(task, &model, device, &pixels, &batch.labels, step, by);
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
            return Err(explain(Error::NotFinite { step, term, value, origin: None }));
        }

        let interrupted = stop.load(Ordering::Relaxed);
        let done = step == settings.steps;
        let due = step % settings.checkpoint_every.max(1) == 0;
        if step % settings.log_every.max(1) == 0 || due || done || interrupted {
            let (records, images_per_second, waiting, each) = pending.read().map_err(&explain)?;
            metrics.append(&records)?;
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
        if interrupted && !done {
            return Ok((model, Outcome::Interrupted(step)));
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

/// The first setting in which two descriptions differ, in brackets where they are JSON
/// objects; none where they agree. A setting that only the old one names does not count.
fn first_difference(old: &str, new: &str) -> Option<String> {
    fn find(old: &Value, new: &Value, path: String) -> Option<String> {
        if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
            return new.iter().find_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                find(old.get(key).unwrap_or(&Value::Null), value, path)
            });
        }
        (old != new).then(|| format!(" ({path} was {old}, now {new})"))
    }
    let object = |text| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    match (object(old), object(new)) {
        (Some(old), Some(new)) => find(&old, &new, String::new()),
        _ => (old != new).then(String::new),
    }
}

/// Steps whose losses are still on the device. Reading them together lets the
/// device run ahead.
struct Pending {
    steps: Vec<(Record, Vec<&'static str>, usize)>,
    values: Vec<Tensor<1>>,
    images: usize,
    since: Instant,
    waited: Duration,
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
        self.steps.push((record, names, terms));
        self.values.push(Tensor::cat(values, 0));
        self.images += images;
    }

    fn read(&mut self) -> Result<(Vec<Record>, f64, f64, Duration)> {
        let all = read(Tensor::cat(std::mem::take(&mut self.values), 0))?;
        let mut values = all.into_iter();
        let count = self.steps.len().max(1);
        let mut records = Vec::with_capacity(count);
        for (mut record, names, terms) in self.steps.drain(..) {
            for (index, (name, value)) in names.into_iter().zip(values.by_ref()).enumerate() {
                if index < terms {
                    if !value.is_finite() {
                        return Err(Error::NotFinite {
                            step: record.step,
                            term: format!("{name} loss"),
                            value,
                            origin: None,
                        });
                    }
                    record.loss += value;
                }
                record.terms.insert(name.to_owned(), value);
            }
            records.push(record);
        }
        let elapsed = self.since.elapsed();
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let speed = self.images as f64 / seconds;
        let waiting = (self.waited.as_secs_f64() / seconds).min(1.0);
        *self = Self::default();
        Ok((records, speed, waiting, elapsed / count as u32))
    }
}
