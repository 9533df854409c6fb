//! What both training commands set up: images, transforms, device, Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device as BurnDevice, Tensor};

use super::args::TrainArgs;
use super::config::{DataConfig, Override, TrainConfig};
use super::console::Console;
use crate::data::{
    ClassifySet, ImageSet, Loader, LoaderSettings, Normalise, Order, Preprocess, Split,
    TrainTransform, Transform, eval_crop,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::eval::EvalSettings;
use crate::model::ModelSpec;
use crate::train::{Outcome, Progress, Record, RunSettings, Task, train};
use crate::vit::VitConfig;

/// The overrides that flags of both training commands stand for.
pub(super) fn overrides(args: &TrainArgs) -> Result<Vec<Override>> {
    let mut list = args.set.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>>>()?;
    let mut add = |key: &str, value: Option<toml::Value>| {
        list.extend(value.map(|value| Override::new(key, value)));
    };
    let out = args.out.as_ref().map(|path| path.to_string_lossy().into_owned());
    add("data.path", args.data.clone().map(Into::into));
    add("data.val", args.val.clone().map(Into::into));
    add("data.workers", args.workers.map(Into::into));
    add("out", out.map(Into::into));
    add("train.batch", args.batch.map(Into::into));
    add("train.epochs", args.epochs.map(Into::into));
    add("train.steps", args.steps.map(Into::into));
    add("train.clip", args.clip.map(Into::into));
    add("optimizer.lr", args.lr.map(Into::into));
    add("seed", args.seed.map(Into::into));
    add("device", args.device.clone().map(Into::into));
    Ok(list)
}

/// Opens a part of a data set: a path, a layout with one (`imagenet:PATH`),
/// `scenes:N` or `scenes:A-B`.
pub(super) fn images(place: &str, split: Split, side: usize) -> Result<ImageSet> {
    Ok(ClassifySet::open(place, split)?.images().with_scene_side(side))
}

/// Opens images that need no classes: a file too, or a folder of any layout.
pub(super) fn pictures(place: &str, side: usize) -> Result<ImageSet> {
    Ok(ImageSet::open_all(place)?.with_scene_side(side))
}

/// The set that a config names, or an error that says how to name one.
pub(super) fn training_images(data: &DataConfig, side: usize) -> Result<ImageSet> {
    let place = data.path.as_deref().ok_or_else(|| {
        Error::config("no training images: set data.path or --data (a folder of class folders, a zip of one, or scenes:N)")
    })?;
    images(place, Split::Train, side)
}

/// The random transform of training.
pub(super) fn train_transform(data: &DataConfig, size: [usize; 2]) -> Result<Transform> {
    let range = |name: &str, [low, high]: [f64; 2], most: f64| {
        if low > 0.0 && low <= high && high <= most {
            return Ok(());
        }
        Err(Error::config(format!(
            "data.{name} is [{low}, {high}]; write [smallest, largest], above 0"
        )))
    };
    range("scale", data.scale, 1.0)?;
    range("ratio", data.ratio, f64::MAX)?;
    if !(0.0..=1.0).contains(&data.flip) {
        return Err(Error::config(format!("data.flip is {}; it is a probability", data.flip)));
    }
    Ok(Transform::Train(TrainTransform {
        size,
        scale: data.scale,
        ratio: data.ratio,
        flip: data.flip,
    }))
}

/// How images are measured.
pub(super) fn eval_settings(
    data: &DataConfig,
    size: [usize; 2],
    preprocess: &Preprocess,
    batch: usize,
    limit: Option<usize>,
) -> EvalSettings {
    EvalSettings {
        transform: preprocess.transform(size),
        normalise: preprocess.normalise,
        batch,
        workers: data.workers.max(1),
        limit,
    }
}

/// Evenly spread images of a set, in batches of 32.
pub(super) fn batches(
    images: &ImageSet,
    count: usize,
    eval: &EvalSettings,
    device: &BurnDevice,
) -> Result<Vec<Tensor<4>>> {
    let count = count.clamp(1, images.len());
    let chosen: Vec<usize> = (0..count).map(|i| i * images.len() / count).collect();
    let batch = |indices: &[usize]| -> Result<Tensor<4>> {
        let crop = |&index: &usize| eval_crop(&images.read(index)?, &eval.transform);
        let crops = indices.iter().map(crop).collect::<Result<Vec<_>>>()?;
        eval.normalise.batch(&crops, device)
    };
    chosen.chunks(32).map(batch).collect()
}

/// The loader's settings for training.
pub(super) fn loader(data: &DataConfig, train: &TrainConfig, seed: u64) -> LoaderSettings {
    LoaderSettings {
        batch: train.batch,
        seed,
        workers: data.workers,
        order: Order::Shuffled,
        max_unreadable: data.max_unreadable,
    }
}

/// Steps in all.
pub(super) fn steps(train: &TrainConfig, images: usize, loader: &LoaderSettings) -> Result<usize> {
    if loader.batch == 0 || loader.batch > images {
        return Err(Error::config(format!(
            "train.batch is {} and the data set has {images} images; use a batch of 1 to {images}",
            loader.batch
        )));
    }
    let steps = match train.steps {
        Some(steps) => steps,
        None => {
            let per_epoch = Loader::batches_per_epoch(images, loader) as f64;
            (train.epochs * per_epoch).round() as usize
        }
    };
    if steps == 0 {
        return Err(Error::config(format!(
            "there is nothing to do in {} epochs of {images} images in batches of {}; set more epochs or steps",
            train.epochs, train.batch
        )));
    }
    Ok(steps)
}

/// What training says at Ctrl-C.
pub(super) const SAVING: &str = "stopping after this step and saving";

/// A flag that Ctrl-C sets, saying what happens then; a second Ctrl-C ends the
/// program at once.
pub(super) fn stop_flag(said: &'static str) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\n{said}; press Ctrl-C again to stop at once");
    })
    .map_err(|error| Error::config(format!("cannot watch for Ctrl-C: {error}")))?;
    Ok(flag)
}

/// Gives a model spec as many classes as the data where it does not say.
pub(super) fn with_classes(spec: &ModelSpec, classes: usize) -> ModelSpec {
    ModelSpec { num_classes: spec.num_classes.or(Some(classes)), ..spec.clone() }
}

/// The image side to draw scenes at: the model's.
pub(super) fn scene_side(config: &VitConfig) -> usize {
    config.img_size[0].max(config.img_size[1])
}

/// The part of the data's settings that changes what is learnt.
pub(super) fn identity(data: &DataConfig, normalise: Normalise) -> serde_json::Value {
    serde_json::json!({
        "path": data.path,
        "mean": normalise.mean,
        "std": normalise.std,
        "scale": data.scale,
        "ratio": data.ratio,
        "flip": data.flip,
    })
}

/// Shards that batches are split into: on the CPU one for each thread.
pub(super) fn shards(threads: Option<usize>, opened: &Device) -> usize {
    if !opened.is_cpu() {
        return 1;
    }
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// A trained model with the first and last step's records, where this process
/// did any; none where Ctrl-C stopped it.
pub(super) type Trained<M> = Option<(M, Option<(Record, Record)>)>;

/// Trains with progress on the console; says how to go on after Ctrl-C.
pub(super) fn train_shown<T: Task>(
    task: &T,
    model: T::Model,
    device: &BurnDevice,
    (images, transform, normalise): (ImageSet, Transform, Normalise),
    settings: &RunSettings,
    stop: &AtomicBool,
) -> Result<Trained<T::Model>> {
    let console = Console::new();
    let mut report = |progress: Progress<'_>| console.report(&progress);
    let (model, outcome) =
        train(task, model, device, images, transform, normalise, settings, stop, &mut report)?;
    console.finish();
    match outcome {
        Outcome::Finished { ends } => Ok(Some((model, ends))),
        Outcome::Interrupted(step) => {
            let steps = settings.steps;
            println!(
                "stopped after step {step} of {steps}; go on with the same command and --resume"
            );
            Ok(None)
        }
    }
}
