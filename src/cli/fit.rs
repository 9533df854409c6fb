//! `singer fit`: a teacher's adapters without a student, for `distill --adapters`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::fit_report::{Fitted, conclude};
use super::models::ShapeArgs;
use super::preprocessing::PreprocessArgs;
use super::progress::Shown;
use super::{models, ranks, session};
use crate::data::{ImageSet, Split};
use crate::distill::singer::{
    AdapterFit, FitSettings, FitStep, LayerNorms, LossWeights, SingerSettings,
};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::refine::{ClosedForm, ClosedSettings, FoundArtifacts};
use crate::report::track::TrackerKind;
use crate::run::{self, DataConfig, batches};
use crate::train::{Ranks, Record, Schedule, Shards};

#[derive(Debug, ClapArgs)]
pub(super) struct FitArgs {
    /// The teacher's weights
    pub(super) teacher: PathBuf,
    /// Images, as `distill --data` takes them; no labels needed
    #[arg(long, value_name = "PLACE", required = true)]
    pub(super) data: Vec<String>,
    /// How the adapters are made
    #[arg(long, value_enum, default_value_t = Kind::Closed)]
    kind: Kind,
    /// Use at most this many images, evenly spread; 256 by default, 1024 for trained kinds,
    /// which hold all in memory
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "singer.safetensors")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    closed: ClosedArgs,
    #[command(flatten)]
    trained: TrainedArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// Track the fit, as `distill --track` does: tensorboard or mlflow
    #[arg(long, value_name = "TRACKER", value_parser = super::args::named::<TrackerKind>)]
    pub(super) track: Vec<TrackerKind>,
    /// Print JSON: what was found or trained, and the norms before and after
    #[arg(long)]
    pub(super) json: bool,
}

/// How adapters are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Artifacts are found block by block and removed; nothing is trained
    Closed,
    /// Trained from the left nullspace, as in the paper
    Published,
    /// Trained from zero, with robust outliers and an identity loss
    Trained,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Closed form")]
struct ClosedArgs {
    /// A patch is an outlier above this many times its image's median norm [default: 2]
    #[arg(long, value_name = "X")]
    norm_factor: Option<f64>,
    /// Most artifact directions of a block [default: 8]
    #[arg(long, value_name = "K")]
    max_rank: Option<usize>,
    /// Deviations from the median score beyond which a token is refined [default: 4]
    #[arg(long, value_name = "Z")]
    gate: Option<f64>,
    /// Leave the class token as it is
    #[arg(long)]
    keep_class_token: bool,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Kinds published and trained")]
struct TrainedArgs {
    /// Intermediate teacher blocks, from 0; the last one is always added
    #[arg(long, value_name = "L,L,...", value_delimiter = ',')]
    layers: Option<Vec<usize>>,
    /// Rank of the adapters [default: 64]
    #[arg(long, value_name = "R")]
    rank: Option<usize>,
    /// Quantile of an image's patch norms above which a patch is an outlier [default: 0.97]
    #[arg(long, value_name = "Q")]
    quantile: Option<f64>,
    /// Where adapters start: smallest (singular values of the left nullspace, the default),
    /// threshold, random, or data (what the next whole block reads least on these images)
    #[arg(long, value_name = "KIND")]
    basis: Option<String>,
    /// Form of the information loss: paper (the default) or reference
    #[arg(long, value_name = "FORM")]
    losses: Option<String>,
    /// Number of steps, each on 32 of the images in turn [default: 300]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Learning rate of AdamW at the start; it falls to zero as a half cosine [default: 0.01]
    #[arg(long, value_name = "LR")]
    lr: Option<f64>,
    /// λ of the outlier loss [default: 0.01]
    #[arg(long, value_name = "W")]
    outlier_weight: Option<f64>,
    /// λ of the information loss [default: 1]
    #[arg(long, value_name = "W")]
    info_weight: Option<f64>,
    /// Seed of a random basis [default: 0]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// CPU threads of a process [default: as many as it has cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl ClosedArgs {
    /// A flag that is given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--norm-factor", self.norm_factor.is_some()),
            ("--max-rank", self.max_rank.is_some()),
            ("--gate", self.gate.is_some()),
            ("--keep-class-token", self.keep_class_token),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

impl TrainedArgs {
    /// A flag that is given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--layers", self.layers.is_some()),
            ("--rank", self.rank.is_some()),
            ("--quantile", self.quantile.is_some()),
            ("--basis", self.basis.is_some()),
            ("--losses", self.losses.is_some()),
            ("--steps", self.steps.is_some()),
            ("--lr", self.lr.is_some()),
            ("--outlier-weight", self.outlier_weight.is_some()),
            ("--info-weight", self.info_weight.is_some()),
            ("--seed", self.seed.is_some()),
            ("--threads", self.threads.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

/// Refuses flags of another kind, which would be without effect.
fn check_kind(args: &FitArgs) -> Result<()> {
    let (flag, kinds) = match args.kind {
        Kind::Closed => (args.trained.given(), "published or --kind trained"),
        Kind::Published | Kind::Trained => (args.closed.given(), "closed"),
    };
    match flag {
        Some(flag) => Err(Error::config(format!("{flag} goes with --kind {kinds}"))),
        None => Ok(()),
    }
}

pub(super) fn run(args: &FitArgs) -> Result<ExitCode> {
    check_kind(args)?;
    for tracker in &args.track {
        tracker.check()?;
    }
    ranks::together(|ranks| run_on(ranks, args))
}

fn run_on(ranks: &Ranks, args: &FitArgs) -> Result<ExitCode> {
    let since = Instant::now();
    ranks::fetch(ranks, &[&args.shape.spec(&args.teacher)])?;
    let shape = args.shape.open(&args.teacher)?;
    let device = run::ranks::device(ranks, &args.device)?;
    if args.limit == Some(0) {
        return Err(Error::config("--limit must be at least 1"));
    }
    let settings = (args.kind != Kind::Closed).then(|| training(args)).transpose()?;
    let closed = closed(args);
    match &settings {
        Some(settings) => drop(settings.singer.resolve_layers(shape.config.depth)?),
        None => closed.check()?,
    }
    if args.out.is_dir() {
        return Err(Error::config(format!(
            "--out {}: give a file, not a folder",
            args.out.display()
        )));
    }
    let side = session::scene_side(&shape.config);
    let data = args.preprocess.over(DataConfig::default())?;
    let teacher = models::load(shape, &data, &device)?;
    let limit = settings.as_ref().map_or(closed.images, |settings| settings.images);
    let images = session::images(&args.data, Split::Train, side, Some(limit))?;
    let alike = json!({ "teacher": args.teacher, "data": args.data, "kind": args.kind });
    ranks.check_alike(&alike.to_string())?;
    // Before the work, that it is not lost.
    let folder = args.out.parent().unwrap_or(&args.out);
    if ranks.is_first() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    let config = match &settings {
        None => json!({ "refine": args.kind, "closed": closed }),
        Some(settings) => json!({ "refine": args.kind, "fit": settings }),
    };
    let fitted = match settings {
        // One rank does that for all.
        None => {
            ranks.is_first().then(|| find(&teacher, &images, &closed, args.json)).transpose()?
        }
        Some(settings) => {
            let shards = run::ranks::fit_shards(ranks, args.trained.threads, &device)?;
            train(ranks, &teacher, &images, settings, &data, shards, args.json)?
        }
    };
    let Some(mut fitted) = fitted else { return Ok(ExitCode::SUCCESS) };
    fitted.adapters.save(&args.out)?;
    let examples = fitted.examples(&teacher, &images);
    if args.json {
        say!("{:#}", fitted.described(args));
    } else {
        say!("wrote {}", args.out.display());
    }
    let run = fitted.into_run(args, config, &device, since, examples.ok());
    conclude(args, &run)?;
    Ok(ExitCode::SUCCESS)
}

/// The closed form.
fn find(
    teacher: &Model,
    images: &ImageSet,
    settings: &ClosedSettings,
    quiet: bool,
) -> Result<Fitted> {
    let shown = Shown::new(true);
    let mut report = |done, blocks| shown.looking(done, blocks);
    let found = run::closed_form(teacher, images, settings, &mut report)?;
    shown.finish();
    if !quiet {
        announce(&found);
    }
    let (records, norms) = (Vec::new(), Vec::new());
    Ok(Fitted { adapters: found.adapters.clone(), found: Some(found), records, norms })
}

/// Says what the closed form found.
pub(super) fn announce(found: &ClosedForm) {
    let images = found.images;
    if found.blocks.is_empty() {
        say!("no artifacts found in {images} images: the teacher's features stay as they are");
    }
    for FoundArtifacts { block, rank, refined, class_token, .. } in &found.blocks {
        let directions = if *rank == 1 { "1 direction" } else { &format!("{rank} directions") };
        let class_token = match class_token {
            None => "the class token is left alone".to_owned(),
            Some(0.0) => "the class token carries none".to_owned(),
            Some(share) => format!("the class token too, in {:.1} % of the images", share * 100.0),
        };
        say!(
            "block {block}: artifacts along {directions}, removed from {:.2} % of the patches of {images} images; {class_token}",
            refined * 100.0
        );
    }
}

fn closed(args: &FitArgs) -> ClosedSettings {
    let own = &args.closed;
    ClosedSettings::default().with(|s| {
        s.images = args.limit.unwrap_or(s.images);
        s.norm_factor = own.norm_factor.unwrap_or(s.norm_factor);
        s.max_rank = own.max_rank.unwrap_or(s.max_rank);
        s.gate = own.gate.unwrap_or(s.gate);
        s.class_token = !own.keep_class_token;
    })
}

fn training(args: &FitArgs) -> Result<FitSettings> {
    let own = &args.trained;
    let text = |given: &Option<String>, default: &str| given.clone().unwrap_or(default.into());
    let (basis, losses) = (text(&own.basis, "smallest"), text(&own.losses, "paper"));
    let singer = SingerSettings::default();
    let weights = LossWeights {
        outlier: own.outlier_weight.unwrap_or(singer.weights.outlier),
        info: own.info_weight.unwrap_or(singer.weights.info),
        ..singer.weights
    };
    let singer = SingerSettings {
        layers: own.layers.clone().unwrap_or_default(),
        rank: own.rank.unwrap_or(singer.rank),
        quantile: own.quantile.unwrap_or(singer.quantile),
        basis: named("--basis", &basis, "smallest, threshold, random or data")?,
        losses: named("--losses", &losses, "paper or reference")?,
        weights,
        ..singer
    };
    let default = FitSettings::default();
    let settings = FitSettings {
        singer: if args.kind == Kind::Trained { singer.robust() } else { singer },
        steps: own.steps.unwrap_or(default.steps),
        lr: own.lr.unwrap_or(default.lr),
        images: args.limit.unwrap_or(default.images),
        seed: own.seed.unwrap_or(default.seed),
        ..default
    };
    if settings.steps == 0 || !(settings.lr > 0.0 && settings.lr.is_finite()) {
        return Err(Error::config("--steps must be at least 1, and --lr a number above 0"));
    }
    Ok(settings)
}

/// Adapters by the losses, which the first rank gives and measures.
fn train(
    ranks: &Ranks,
    teacher: &Model,
    images: &ImageSet,
    settings: FitSettings,
    data: &DataConfig,
    shards: Shards,
    quiet: bool,
) -> Result<Option<Fitted>> {
    let (batches, passed_over) = batches(teacher, images, settings.images, data.max_unreadable)?;
    let shown = Shown::new(quiet);
    let (lr, cosine) = (settings.lr, Schedule::half_cosine(0.0));
    let mut fit = AdapterFit::new(teacher.vit(), batches, settings, shards)?;
    let mut records = Vec::new();
    fit.run_on(ranks, &mut |progress| {
        shown.adapters(progress);
        let FitStep { step, steps, outlier, information, identity } = progress;
        let terms = [("outlier", outlier), ("info", information), ("identity", identity)];
        records.push(Record {
            step,
            epoch: 0.0,
            lr: cosine.rate(lr, step - 1, steps, steps),
            loss: outlier + information + identity,
            terms: terms.map(|(name, value)| (name.to_owned(), value)).into(),
        });
    })?;
    shown.finish();
    if !ranks.is_first() {
        return Ok(None);
    }
    let norms = fit.norms()?;
    if quiet {
        session::report_beside_json(passed_over.as_ref());
    } else {
        if let Some(Record { step, terms, .. }) = records.last() {
            let [outlier, info] = ["outlier", "info"].map(|name| terms[name]);
            say!("after {step} steps: outlier loss {outlier:.4}, information loss {info:.4}");
        }
        for LayerNorms { layer, raw, refined } in &norms {
            say!(
                "block {layer}: largest over median patch norm {:.2} raw, {:.2} refined",
                raw.max_over_median,
                refined.max_over_median
            );
        }
        session::report(passed_over.as_ref());
    }
    Ok(Some(Fitted { adapters: fit.adapters(), found: None, records, norms }))
}

fn named<T: DeserializeOwned>(flag: &str, name: &str, known: &str) -> Result<T> {
    serde_json::from_value(name.into())
        .map_err(|_| Error::config(format!("{flag} {name}: use {known}")))
}
