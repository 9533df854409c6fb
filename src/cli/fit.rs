//! `singer fit`: a teacher's adapters without a student, for `distill --adapters`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde::de::DeserializeOwned;

use super::models::ShapeArgs;
use super::preprocessing::PreprocessArgs;
use super::progress::Shown;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::distill::singer::{
    AdapterFit, FitSettings, FitStep, LayerNorms, LossWeights, SingerSettings,
};
use crate::error::{Error, Result};
use crate::run::{DataConfig, batches};
use crate::train::Shards;

#[derive(Debug, ClapArgs)]
pub(super) struct FitArgs {
    /// The teacher's weights
    teacher: PathBuf,
    /// Images, as `distill --data` takes them; no labels needed
    #[arg(long, value_name = "PLACE", required = true)]
    data: Vec<String>,
    /// Use at most this many images, evenly spread; all are held in memory
    #[arg(long, value_name = "N", default_value_t = 1024)]
    limit: usize,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "singer.safetensors")]
    out: PathBuf,
    /// Intermediate teacher blocks, from 0; the last one is always added
    #[arg(long, value_name = "L,L,...", value_delimiter = ',')]
    layers: Vec<usize>,
    /// Rank of the adapters
    #[arg(long, default_value_t = 64)]
    rank: usize,
    /// Quantile of an image's patch norms above which a patch is an outlier
    #[arg(long, default_value_t = 0.97)]
    quantile: f64,
    /// Left nullspace basis: smallest (singular values), threshold or random
    #[arg(long, value_name = "KIND", default_value = "smallest")]
    basis: String,
    /// Form of the information loss: paper or reference
    #[arg(long, value_name = "FORM", default_value = "paper")]
    losses: String,
    /// Number of steps, each on 32 of the images in turn
    #[arg(long, value_name = "N", default_value_t = 300)]
    steps: usize,
    /// Learning rate of AdamW at the start; it falls to zero as a half cosine
    #[arg(long, default_value_t = 1e-2)]
    lr: f64,
    /// λ of the outlier loss
    #[arg(long, value_name = "W", default_value_t = 0.01)]
    outlier_weight: f64,
    /// λ of the information loss
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    info_weight: f64,
    /// Seed of a random basis
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    shape: ShapeArgs,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    preprocess: PreprocessArgs,
}

pub(super) fn run(args: &FitArgs) -> Result<ExitCode> {
    let shape = args.shape.open(&args.teacher)?;
    let device = Device::open(&args.device)?;
    let settings = FitSettings {
        singer: SingerSettings {
            layers: args.layers.clone(),
            rank: args.rank,
            quantile: args.quantile,
            basis: named("--basis", &args.basis, "smallest, threshold or random")?,
            losses: named("--losses", &args.losses, "paper or reference")?,
            weights: LossWeights {
                outlier: args.outlier_weight,
                info: args.info_weight,
                ..LossWeights::default()
            },
            ..SingerSettings::default()
        },
        steps: args.steps,
        lr: args.lr,
        images: args.limit,
        seed: args.seed,
        ..FitSettings::default()
    };
    if args.steps == 0 || args.limit == 0 || !(args.lr > 0.0 && args.lr.is_finite()) {
        return Err(Error::config(
            "--steps and --limit must be at least 1, and --lr a number above 0",
        ));
    }
    if args.out.is_dir() {
        return Err(Error::config(format!(
            "--out {}: give a file, not a folder",
            args.out.display()
        )));
    }
    settings.singer.resolve_layers(shape.config.depth)?;
    let side = session::scene_side(&shape.config);
    let data = args.preprocess.over(DataConfig::default())?;
    let teacher = models::load(shape, &data, &device)?;
    let images = session::images(&args.data, Split::Train, side, Some(args.limit))?;
    let (batches, passed_over) = batches(&teacher, &images, settings.images, data.max_unreadable)?;
    // Before the work, that it is not lost.
    let folder = args.out.parent().unwrap_or(&args.out);
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;

    let shown = Shown::new(false);
    let shards = Shards::new(device.shards())?;
    let mut fit = AdapterFit::new(teacher.vit(), batches, settings, shards)?;
    let mut last = None;
    fit.run(&mut |step| {
        shown.adapters(step);
        last = Some(step);
    })?;
    shown.finish();
    if let Some(FitStep { steps, outlier, information, .. }) = last {
        say!("after {steps} steps: outlier loss {outlier:.4}, information loss {information:.4}");
    }
    for LayerNorms { layer, raw, refined } in fit.norms()? {
        say!(
            "block {layer}: largest over median patch norm {:.2} raw, {:.2} refined",
            raw.max_over_median,
            refined.max_over_median
        );
    }
    fit.adapters().save(&args.out)?;
    session::report(passed_over.as_ref());
    say!("wrote {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

fn named<T: DeserializeOwned>(flag: &str, name: &str, known: &str) -> Result<T> {
    serde_json::from_value(name.into())
        .map_err(|_| Error::config(format!("{flag} {name}: use {known}")))
}
