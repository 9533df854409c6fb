//! `singer bench --data`: the loader alone.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::args::BenchArgs;
use super::bench::peak_memory_mib;
use crate::data::{Images, Loader, LoaderSettings, Normalise, Order, Split};
use crate::error::{Error, Result};
use crate::run::DataConfig;
use crate::vit::Statistics;

/// Images that are timed where the set does not state its number.
const IMAGES: usize = 5000;

/// Times the batches of a run's training images: decoded, cropped, flipped and normalised. The
/// first batch, for which the threads start, does not count.
pub(super) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let config = DataConfig::default();
    let size = args.size.sides();
    let opened = Instant::now();
    let images = Images::open(&args.data, Split::Train)?.with_scene_side(size[0].max(size[1]));
    let open = opened.elapsed();
    let (length, shards) = (images.len(), images.shards());
    let settings = LoaderSettings {
        batch: args.batch,
        seed: 0,
        workers: args.workers.unwrap_or(config.workers),
        order: Order::Shuffled,
        max_unreadable: config.max_unreadable,
        part: (0, 1),
    };
    let transform = config.train_transform(size)?;
    let wanted = args.images.or(length).unwrap_or(IMAGES);
    let (mean, std) = Statistics::ImageNet.mean_std();
    let started = Instant::now();
    let mut loader = Loader::start(images, transform, Normalise { mean, std }, settings, 0)?;
    loader.next().ok_or(Error::NoImages)??;
    let first = started.elapsed();
    let begun = Instant::now();
    let mut count = 0;
    while count < wanted {
        count += loader.next().ok_or(Error::NoImages)??.labels.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let report = json!({
        "data": args.data,
        "images": length,
        "shards": shards,
        "size": size,
        "batch": settings.batch,
        "workers": settings.workers,
        "timed": count,
        "open_s": open.as_secs_f64(),
        "first_batch_s": first.as_secs_f64(),
        "seconds": seconds,
        "images_per_second": count as f64 / seconds,
        "unreadable": loader.unreadable(),
        "peak_memory_mib": peak_memory_mib(),
    });
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}
