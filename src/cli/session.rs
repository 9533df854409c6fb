//! What the training commands share: flags over the configuration, images, Ctrl-C.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::json;

use super::args::named as value_named;
use super::config::Override;
use super::console::Console;
use crate::data::{ClassifySet, ImageSet, ImageStream, PassedOver, Split};
use crate::error::{Error, Result};
use crate::model::ImageSize;
use crate::report::track::TrackerKind;
use crate::run::{Event, Start};
use crate::vit::{Precision, VitConfig};

/// Options of both training commands; each overrides the config file.
#[derive(Debug, ClapArgs)]
pub(super) struct TrainArgs {
    /// TOML file with the settings (docs/settings.md lists them all)
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Images: a folder, a zip or tar file (`x.zip/inner/folder`), an image, a list of images
    /// (.txt, .csv), a pattern in quotes ("photos/*.jpg"), shards (`shard-{000..099}.tar`, a
    /// folder of .parquet files, a URL), a published layout (`imagenet:PATH`), or `scenes:N` for
    /// N procedural scenes (docs/data.md). Given several times, they are one set. Classes, one
    /// folder each, only where labels are used
    #[arg(long, value_name = "PLACE")]
    pub(super) data: Vec<String>,
    /// Images to measure on at the end, in the same form
    #[arg(long, value_name = "PLACE")]
    pub(super) val: Vec<String>,
    /// Image size in pixels, `224` or `HxW`, instead of the model's own: positions of given
    /// weights are resampled, and what is trained is saved for this size
    #[arg(long, value_name = "SIZE")]
    pub(super) size: Option<ImageSize>,
    /// Output folder
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Images in a batch
    #[arg(long, value_name = "N")]
    pub(super) batch: Option<i64>,
    /// Go through each batch in N micro-batches to save memory; the gradients are the whole
    /// batch's
    #[arg(long, value_name = "N")]
    pub(super) accumulate: Option<i64>,
    /// Keep the tokens between the student's blocks alone and compute the rest anew in the
    /// backward pass: less memory for a third more of the student's work
    #[arg(long)]
    pub(super) recompute: bool,
    /// Passes over the images
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    pub(super) epochs: Option<f64>,
    /// Number of steps, instead of epochs
    #[arg(long, value_name = "N")]
    pub(super) steps: Option<i64>,
    /// Highest learning rate
    #[arg(long)]
    pub(super) lr: Option<f64>,
    /// Clip the global norm of the gradients to this
    #[arg(long, value_name = "NORM")]
    pub(super) clip: Option<f64>,
    /// Seed of new weights, the order of images and augmentation
    #[arg(long)]
    pub(super) seed: Option<i64>,
    /// auto, cpu, gpu, gpu:N or software (`singer devices` lists them); several share each
    /// batch: gpu:0,gpu:1
    #[arg(long)]
    pub(super) device: Option<String>,
    /// f32, f16, bf16, or auto for what the device computes fastest: matrix products in it, the
    /// rest in f32
    #[arg(long)]
    pub(super) precision: Option<String>,
    /// Threads that decode and augment images
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<i64>,
    /// Set any key of the settings file: --set singer.threshold=0.1
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Resume from the checkpoint in the output folder
    #[arg(long)]
    pub(super) resume: bool,
    /// Follow the training by a tracker: tensorboard (an event file in the output folder) or
    /// mlflow (the server of MLFLOW_TRACKING_URI). May be given several times
    #[arg(long, value_name = "TRACKER", value_parser = value_named::<TrackerKind>)]
    pub(super) track: Vec<TrackerKind>,
}

/// The overrides that flags of both training commands stand for; `models` are the sections of
/// the models whose image size is set.
pub(super) fn overrides(args: &TrainArgs, models: &[&str]) -> Result<Vec<Override>> {
    let mut list = args.set.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>>>()?;
    let mut add = |key: &str, value: Option<toml::Value>| {
        list.extend(value.map(|value| Override::new(key, value)));
    };
    let out = args.out.as_ref().map(|path| path.to_string_lossy().into_owned());
    add("data.path", places(&args.data));
    add("data.val", places(&args.val));
    add("data.workers", args.workers.map(Into::into));
    add("out", out.map(Into::into));
    for model in models {
        let sides = args.size.map(|size| size.sides().map(|side| side as i64).to_vec());
        add(&format!("{model}.img_size"), sides.map(Into::into));
    }
    add("train.batch", args.batch.map(Into::into));
    add("train.accumulate", args.accumulate.map(Into::into));
    add("train.recompute", args.recompute.then(|| true.into()));
    add("train.epochs", args.epochs.map(Into::into));
    add("train.steps", args.steps.map(Into::into));
    add("train.clip", args.clip.map(Into::into));
    add("optimizer.lr", args.lr.map(Into::into));
    add("seed", args.seed.map(Into::into));
    add("device", args.device.clone().map(Into::into));
    add("precision", args.precision.clone().map(Into::into));
    Ok(list)
}

/// The value of a flag that names places, where it is given.
fn places(given: &[String]) -> Option<toml::Value> {
    match given {
        [] => None,
        [place] => Some(place.as_str().into()),
        places => Some(places.to_vec().into()),
    }
}

/// Opens a split of a data set, with or without classes: paths, lists, patterns, a layout with
/// a path (`imagenet:PATH`), `scenes:N` or `scenes:A-B`, joined; of shards at most `limit`
/// images.
pub(super) fn images(
    places: &[String],
    split: Split,
    side: usize,
    limit: Option<usize>,
) -> Result<ImageSet> {
    if let Some(stream) = ImageStream::find(places, split)? {
        announce_left_out(&stream.left_out());
        return stream.into_set(limit);
    }
    Ok(announced(ImageSet::open_places(places, split)?.with_scene_side(side)))
}

/// The same with classes.
pub(super) fn labelled(
    places: &[String],
    split: Split,
    limit: Option<usize>,
) -> Result<ClassifySet> {
    let Some(stream) = ImageStream::find(places, split)? else {
        let set = ClassifySet::open_places(places, split)?;
        announced(set.images());
        return Ok(set);
    };
    announce_left_out(&stream.left_out());
    match (stream.classes().is_empty(), stream.len()) {
        (true, None) => Err(Error::data(
            places.join(", "),
            "is read in one pass, so its classes are not known before; get it as local .tar or .parquet files",
        )),
        (true, Some(_)) => Err(Error::NoLabels),
        (false, _) => stream.into_set(limit).map(Into::into),
    }
}

/// Opens images that need no classes: a file too, or a folder of any layout.
pub(super) fn pictures(place: &str, side: usize, limit: usize) -> Result<ImageSet> {
    if let Some(stream) = ImageStream::find(&[place], Split::Train)? {
        return stream.into_set(Some(limit));
    }
    Ok(announced(ImageSet::open_all(place)?.with_scene_side(side)))
}

/// Says which images could not be read.
pub(super) fn report<'a>(passed_over: impl IntoIterator<Item = &'a PassedOver>) {
    for passed_over in passed_over {
        say!("{passed_over}");
    }
}

/// The same beside JSON, which has the output for itself.
pub(super) fn report_beside_json<'a>(passed_over: impl IntoIterator<Item = &'a PassedOver>) {
    for passed_over in passed_over {
        note!("{passed_over}");
    }
}

fn announced(images: ImageSet) -> ImageSet {
    announce_left_out(&images.left_out());
    images
}

/// Says how many files are images in formats that cannot be read, by ending.
fn announce_left_out(counts: &BTreeMap<String, usize>) {
    if counts.is_empty() {
        return;
    }
    let mut kinds: Vec<(&String, &usize)> = counts.iter().collect();
    kinds.sort_by_key(|&(_, count)| Reverse(count));
    let kinds: Vec<String> = kinds.iter().map(|(end, count)| format!("{count} {end}")).collect();
    let total: usize = counts.values().sum();
    note!("singer: {total} file(s) left out: {}", kinds.join(", "));
}

/// What training says at Ctrl-C.
pub(super) const SAVING: &str = "stopping after this step and saving";

/// What Ctrl-C and SIGTERM do: end the program at once until there is something to save
/// ([`arm`](Self::arm)), then set a flag and say what happens; a second one ends the
/// program.
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    armed: Arc<AtomicBool>,
}

impl Stop {
    pub(super) fn watch(said: &'static str) -> Result<Self> {
        let stop = Self { flag: Arc::default(), armed: Arc::default() };
        let (flag, armed) = (stop.flag.clone(), stop.armed.clone());
        ctrlc::set_handler(move || {
            if !armed.load(Ordering::Relaxed) || flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            note!("\n{said}; press Ctrl-C again to stop at once");
        })
        .map_err(|error| Error::config(format!("cannot watch for Ctrl-C: {error}")))?;
        Ok(stop)
    }

    /// From now on the first signal sets the flag.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }
}

/// The image side to draw scenes at: the model's.
pub(super) fn scene_side(config: &VitConfig) -> usize {
    config.img_size[0].max(config.img_size[1])
}

/// Shows a run's start by `start`, and its steps.
pub(super) fn watch(stop: &Stop, mut start: impl FnMut(&Start)) -> impl FnMut(Event<'_>) {
    let console = Console::new();
    move |event| match event {
        Event::Start(begun) => {
            for (weights, line) in &begun.assumed {
                note!("singer: {}: {line}", weights.display());
            }
            if let Some(test) = &begun.precision.failed {
                note!("singer: warning: {}: {test}; going on in f32", begun.device);
            }
            for change in &begun.changed {
                note!("singer: resuming another way: {change}");
            }
            announce_left_out(&begun.left_out);
            start(begun);
            stop.arm();
        }
        Event::ClosedForm { done, blocks } => console.looking(done, blocks),
        Event::Step(progress) => console.report(progress),
        Event::PassedOver(passed_over) => say!("{passed_over}"),
    }
}

/// The device of a run, and how it computes where that is not the CPU's f32.
pub(super) fn device(start: &Start) -> String {
    let Start { device, compiler, precision, .. } = start;
    match (compiler, precision.precision) {
        (None, Precision::F32) => device.clone(),
        (None, precision) => format!("{device}, products in {precision}"),
        (Some(compiler), precision) => format!("{device}, {compiler}, products in {precision}"),
    }
}

/// Says how a batch is shared by ranks, where there are several.
pub(super) fn announce_ranks(start: &Start) {
    let &Start { ranks, batch, .. } = start;
    if ranks > 1 {
        let (least, most) = (batch / ranks, batch.div_ceil(ranks));
        let each = if least == most { least.to_string() } else { format!("{least} or {most}") };
        say!("{ranks} ranks, each with {each} images of a batch of {batch}");
    }
}

/// The images of a run, counted where that is known, and their shards.
pub(super) fn number(start: &Start) -> String {
    let images = start.images.map_or_else(|| "images".into(), |count| format!("{count} images"));
    match start.data_shards {
        0 => images,
        shards => format!("{images} in {shards} shard(s)"),
    }
}

/// How a training command is gone on with.
pub(super) const RESUME: &str = "go on with the same command and --resume";

/// A training command's exit code; an interrupted run is no failure, and `go_on` says what
/// to do then.
pub(super) fn exit_code<T>(outcome: Result<T>, go_on: &str) -> Result<ExitCode> {
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(interrupted @ Error::Interrupted { .. }) => {
            say!("{interrupted}; {go_on}");
            Ok(ExitCode::from(130))
        }
        Err(error) => Err(error),
    }
}

/// The values of `all` that a flag's names say, as they are serialised.
pub(super) fn named<'a, T: Copy + Serialize>(
    flag: &str,
    names: impl IntoIterator<Item = &'a String>,
    all: &[T],
) -> Result<Vec<T>> {
    let known: Vec<String> =
        all.iter().map(|value| json!(value).as_str().unwrap_or_default().to_owned()).collect();
    let value = |name: &String| {
        let at = known.iter().position(|known| known == name);
        at.map(|at| all[at]).ok_or_else(|| {
            let (last, others) = known.split_last().map_or(("", &known[..]), |(a, b)| (a, b));
            Error::config(format!("{flag} {name}: use {} or {last}", others.join(", ")))
        })
    };
    names.into_iter().map(value).collect()
}
