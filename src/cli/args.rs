use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use serde::de::DeserializeOwned;

use super::export::ExportArgs;
use super::fit::FitArgs;
use super::inspect::InspectArgs;
use super::models::ShapeArgs;
use super::preprocessing::PreprocessArgs;
use super::probe::ProbeArgs;
use super::recover::RecoverArgs;
use super::session::TrainArgs;
use crate::model::ImageSize;
use crate::report::track::TrackerKind;
use crate::run::PrecisionChoice;

/// Distil Vision Transformers into small, clean students on any GPU (SiNGER).
///
/// Large ViTs grow high-norm artifact tokens, and feature distillation copies
/// them into the student. SiNGER first refines the teacher's features with
/// low-rank adapters that lower those norms while keeping what the next block
/// reads; the student learns from the refined features.
#[derive(Debug, Parser)]
#[command(
    name = "singer",
    version,
    after_help = "Start with `singer demo`: nothing to download, nothing to configure.\n\nExit codes: 0 success, 1 a failure, 2 unusable arguments, 130 stopped by Ctrl-C."
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Show no progress: only results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Show what the libraries below log: network, GPU, kernels (-vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the whole method on procedural images: nothing to download or configure
    Demo(DemoArgs),
    /// Distil a student from a teacher's refined features, or by a baseline method
    Distill(DistillArgs),
    /// Say what a distillation will take of the device's memory, and which batch fits
    Plan(PlanArgs),
    /// Find a teacher's artifacts and what removes them, for `distill --adapters`
    Fit(FitArgs),
    /// Train a plain ViT with labels: a teacher or a baseline
    Pretrain(PretrainArgs),
    /// Measure a model: head accuracy, nearest neighbours, patch norms
    Evaluate(EvaluateArgs),
    /// Inspect a teacher and its student on images: norms, similarity, drift
    Inspect(InspectArgs),
    /// Export a model to timm, transformers or ONNX
    Export(ExportArgs),
    /// Train linear heads on a model's frozen features: classes, segments, depth
    Probe(ProbeArgs),
    /// Show the singular values of each linearised block and the residual of its basis
    Nullspace(NullspaceArgs),
    /// Plant artifacts of known place and strength in a clean model
    Plant(PlantArgs),
    /// Train several methods over seeds, measure and compare them, all from one file
    Study(StudyArgs),
    /// Write a page of a training's curves, norms and settings, or of several runs'
    Report(ReportArgs),
    /// Measure how much of the clean features comes back from planted artifacts
    Recover(RecoverArgs),
    /// List the published models known by name
    Models(ModelsArgs),
    /// List the devices and what each supports
    Devices(DevicesArgs),
    /// Print a shell's completions: bash, zsh, fish, elvish or powershell
    Completions(CompletionsArgs),
    /// Write manual pages, one for each command
    Man(ManArgs),
    /// Time a training step, the teacher and the nullspace (prints JSON)
    Bench(BenchArgs),
    /// Time each WGSL shader against the device's copy bandwidth (prints JSON)
    BenchShaders(BenchShadersArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct DistillArgs {
    #[command(flatten)]
    pub(super) train: TrainArgs,
    /// The teacher's weights: a file in any published naming, a model of
    /// the hub (`hf-hub:OWNER/NAME[/FILE][@REVISION]`), or a timm name with its tag
    #[arg(long, value_name = "FILE")]
    pub(super) teacher: Option<PathBuf>,
    /// The teacher's timm name; needed where the file does not state the shape, or to override it
    #[arg(long, value_name = "NAME")]
    pub(super) teacher_arch: Option<String>,
    /// Which of the models in the teacher's file: a key of the checkpoint, or a prefix of the
    /// tensors' names; by default the average of the weights (EMA), else the teacher
    #[arg(long, value_name = "KEY_OR_PREFIX")]
    pub(super) weights_key: Option<String>,
    /// The student's timm name
    #[arg(long, value_name = "NAME")]
    pub(super) student: Option<String>,
    /// singer, or a baseline: fitnet, cosine, normalised, relational, proteus, vitkd,
    /// vitkd-reference, kd or none (labels alone)
    #[arg(long, value_name = "NAME")]
    pub(super) method: Option<String>,
    /// What is done to the teacher's features first: closed (artifacts are removed without
    /// training; the default of singer), published (adapters trained with the student, as in the
    /// paper), trained (the same with robust losses), none (the default of the baselines), or
    /// another's treatment: neighbours (SINDER), registers (test-time) or averaged (PH-Reg)
    #[arg(long, value_name = "KIND")]
    pub(super) refine: Option<String>,
    /// Weight of the cross-entropy with labels, added to the method's loss
    #[arg(long, value_name = "W")]
    pub(super) label_weight: Option<f64>,
    /// Intermediate teacher blocks, from 0; the last one is always added
    #[arg(long, value_name = "L,L,...", value_delimiter = ',')]
    pub(super) layers: Option<Vec<i64>>,
    /// Which student block learns from which of them: last (the teacher's last block teaches
    /// the student's last) or reference (the cheapest assignment, as in the reference
    /// implementation)
    #[arg(long, value_name = "RULE")]
    pub(super) mapping: Option<String>,
    /// Rank of the adapters
    #[arg(long, value_name = "R")]
    pub(super) rank: Option<i64>,
    /// Quantile of an image's patch norms above which a patch is an outlier
    #[arg(long, value_name = "Q")]
    pub(super) quantile: Option<f64>,
    /// Form of the information loss: paper or reference
    #[arg(long, value_name = "FORM")]
    pub(super) losses: Option<String>,
    /// Where trained adapters start: smallest (singular values of the left nullspace), threshold,
    /// random, or data (what the next whole block reads least on these images)
    #[arg(long, value_name = "KIND")]
    pub(super) basis: Option<String>,
    /// Use the adapters in this file: from `singer fit`, another run of the same teacher, or the
    /// browser. A closed form is used as it is; training starts from trained ones
    #[arg(long, value_name = "FILE")]
    pub(super) adapters: Option<PathBuf>,
    /// Keep what the teacher computes of each batch in this folder, and read what another run of
    /// the same seed has left there: the same bits in less time. On the CPU alone
    #[arg(long, value_name = "DIR")]
    pub(super) teacher_cache: Option<PathBuf>,
    /// Add nothing to that folder beyond this size
    #[arg(long, value_name = "SIZE", default_value = "8GB")]
    pub(super) teacher_cache_limit: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) distill: DistillArgs,
    /// Memory of the device, e.g. 12GB or 8GiB: say which batch fits
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PretrainArgs {
    #[command(flatten)]
    pub(super) train: TrainArgs,
    /// The model's timm name
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// Which of the models in the model's file: a key of the checkpoint, or a prefix of the
    /// tensors' names; by default the average of the weights (EMA), else the teacher
    #[arg(long, value_name = "KEY_OR_PREFIX")]
    pub(super) weights_key: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EvaluateArgs {
    /// The model's weights
    pub(super) weights: PathBuf,
    /// Images with labels whose features are the neighbours
    #[arg(long, value_name = "PLACE", required = true)]
    pub(super) train: Vec<String>,
    /// Images with labels to classify
    #[arg(long, value_name = "PLACE", required = true)]
    pub(super) test: Vec<String>,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// Use at most this many images of each set, evenly spread
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) limit: usize,
    #[command(flatten)]
    pub(super) preprocess: PreprocessArgs,
    /// Measure a model of this shape with random weights instead
    #[arg(long)]
    pub(super) untrained: bool,
    /// Images in a batch
    #[arg(long, default_value_t = 64)]
    pub(super) batch: usize,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct NullspaceArgs {
    /// The model's weights
    pub(super) weights: PathBuf,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// Only these layers, from 0
    #[arg(long, value_name = "L,L,...", value_delimiter = ',')]
    pub(super) layers: Option<Vec<usize>>,
    /// Rank of the basis
    #[arg(long, default_value_t = 64)]
    pub(super) rank: usize,
    /// Basis: smallest (singular values of the linearised MLP), threshold, random, or data (what
    /// the next whole block reads least at the tokens of --data)
    #[arg(long, default_value = "smallest")]
    pub(super) basis: String,
    /// Largest singular value of the `threshold` basis
    #[arg(long, default_value_t = 0.05)]
    pub(super) threshold: f64,
    /// Images, as `distill --data` takes them: also measure how far the next block's output
    /// drifts when artifacts along the basis are put into its input
    #[arg(long, value_name = "PLACE")]
    pub(super) data: Vec<String>,
    /// Use at most this many images, evenly spread; all are held in memory
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(super) limit: usize,
    /// Norms of those artifacts over the median patch norm
    #[arg(long, value_name = "X,X,...", value_delimiter = ',', default_value = "0.1,1,6")]
    pub(super) sizes: Vec<f64>,
    /// auto, cpu, gpu, gpu:N or software, for the images
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    #[command(flatten)]
    pub(super) preprocess: PreprocessArgs,
    /// Print JSON, with every singular value, instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct StudyArgs {
    /// TOML file with what to train and measure (docs/study.md)
    #[arg(value_name = "FILE")]
    pub(super) study: PathBuf,
    /// Devices to use instead of the file's; each does one job at a time
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub(super) devices: Vec<String>,
    /// Only show which jobs are done and which are open
    #[arg(long)]
    pub(super) list: bool,
    /// Do only this job of the list, from 1, and write no results: for the task arrays of a
    /// cluster
    #[arg(long, value_name = "N", conflicts_with_all = ["list", "collect"])]
    pub(super) job: Option<usize>,
    /// Only write the results of the jobs that are done
    #[arg(long, conflicts_with = "list")]
    pub(super) collect: bool,
    /// Print JSON instead of a table, with --list or --collect
    #[arg(long, conflicts_with = "job")]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReportArgs {
    /// Folders of `singer distill` and `singer pretrain`, finished or not
    #[arg(required = true, value_name = "RUN")]
    pub(super) runs: Vec<PathBuf>,
    /// The page; by default report.html, of a single run in its folder
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Track the runs, as `distill --track` does: tensorboard (event files in their folders) or
    /// mlflow (the server of MLFLOW_TRACKING_URI)
    #[arg(long, value_name = "TRACKER", value_parser = named::<TrackerKind>)]
    pub(super) track: Vec<TrackerKind>,
    /// Put the photographs of the example maps into the page
    #[arg(long)]
    pub(super) photos: bool,
    /// Print what the page says as JSON, and write nothing
    #[arg(long, conflicts_with_all = ["watch", "out", "track", "photos"])]
    pub(super) json: bool,
    /// Go on until the runs are finished: a browser shows what has come since
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ModelsArgs {
    /// Only models whose name or family contains this; a single one is described in full
    pub(super) filter: Option<String>,
    /// Only models of this size: tiny, small, medium, base, large, huge, giant ...
    #[arg(long, value_name = "SIZE")]
    pub(super) size: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DevicesArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ManArgs {
    /// Where to write them
    pub(super) folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(super) struct BenchArgs {
    /// Time the loading of this checkpoint instead
    #[arg(long, value_name = "FILE")]
    pub(super) load: Option<PathBuf>,
    /// Time the loading of these training images instead, on the CPU alone
    #[arg(long, value_name = "PLACE", conflicts_with = "load")]
    pub(super) data: Vec<String>,
    /// With --data: size of the crops in pixels, `224` or `HxW`
    #[arg(long, value_name = "SIZE", default_value = "224")]
    pub(super) size: ImageSize,
    /// With --data: threads that decode and augment
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// With --data: images to time; by default as many as there are
    #[arg(long, value_name = "N")]
    pub(super) images: Option<usize>,
    /// The teacher's timm name
    #[arg(long, value_name = "NAME", default_value = "vit_small_patch16_224")]
    pub(super) teacher: String,
    /// The student's timm name
    #[arg(long, value_name = "NAME", default_value = "vit_tiny_patch16_224")]
    pub(super) student: String,
    /// Images in a batch
    #[arg(long, default_value_t = 8)]
    pub(super) batch: usize,
    /// Micro-batches that the batch goes in
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) accumulate: usize,
    /// Compute the student's activations anew in the backward pass
    #[arg(long)]
    pub(super) recompute: bool,
    /// Print what a step takes of the device's memory, by part, instead of times
    #[arg(long)]
    pub(super) memory: bool,
    /// The intermediate layer; by default the one at 17/24 of the depth
    #[arg(long)]
    pub(super) layer: Option<usize>,
    /// Rank of the adapters
    #[arg(long, default_value_t = 64)]
    pub(super) rank: usize,
    /// CPU threads; all by default
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// What products are computed in: auto, f32, f16 or bf16
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<PrecisionChoice>)]
    pub(super) precision: PrecisionChoice,
    /// Timed runs of each part
    #[arg(long, default_value_t = 5)]
    pub(super) runs: usize,
    /// Leave out the nullspace and the plain product
    #[arg(long)]
    pub(super) step_only: bool,
    /// Also count the kernel launches, submissions and waits of a step on a GPU
    #[arg(long)]
    pub(super) trace: bool,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct BenchShadersArgs {
    /// Images in the batch, B
    #[arg(long, default_value_t = 64)]
    pub(super) images: usize,
    /// Tokens of an image, T
    #[arg(long, default_value_t = 1374)]
    pub(super) tokens: usize,
    /// Width of a token, D
    #[arg(long, default_value_t = 1024)]
    pub(super) dim: usize,
    /// Class and register tokens before the patches
    #[arg(long, default_value_t = 5)]
    pub(super) prefix: usize,
    /// Rank of the adapter, at most 256
    #[arg(long, default_value_t = 64)]
    pub(super) rank: usize,
    /// Timed runs
    #[arg(long, default_value_t = 7)]
    pub(super) runs: usize,
    /// Repetitions of the work in a run before it waits for the device
    #[arg(long, default_value_t = 10)]
    pub(super) repeats: usize,
    /// Also time the forward pass of this timm model on --images images, by the shaders and
    /// by burn
    #[arg(long, value_name = "NAME")]
    pub(super) arch: Option<String>,
    /// gpu, gpu:N or software
    #[arg(long, default_value = "gpu")]
    pub(super) device: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DemoArgs {
    /// Output folder
    #[arg(short, long, value_name = "DIR", default_value = "singer-demo")]
    pub(super) out: PathBuf,
    /// Training steps
    #[arg(long, default_value_t = 400)]
    pub(super) steps: usize,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PlantArgs {
    /// The clean model's weights
    pub(super) weights: PathBuf,
    /// The file to write, the model with artifacts
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// Images on which the unit that writes the artifacts is fitted
    #[arg(long, value_name = "PLACE", required = true)]
    pub(super) data: Vec<String>,
    /// The block whose MLP writes the artifacts, from 0
    #[arg(long)]
    pub(super) block: usize,
    /// What they are: single, two, four, varied, wobble, noise, shrunk, class-token or blocks
    /// (docs/recovery.md)
    #[arg(long, default_value = "single")]
    pub(super) kind: String,
    /// Also write the clean model that differs from the one with artifacts in nothing else:
    /// the hidden units that planting takes are silent in it
    #[arg(long, value_name = "FILE")]
    pub(super) clean: Option<PathBuf>,
    /// Norm of the planted vector as a multiple of the median patch norm
    #[arg(long, default_value_t = 6.0)]
    pub(super) strength: f64,
    /// Share of patches that get an artifact
    #[arg(long, default_value_t = 0.03)]
    pub(super) share: f64,
    /// Share of images whose class token gets one, for the kind class-token
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    pub(super) class_share: f64,
    /// Direction of the planted vector: inside, mixed or outside the next block's left
    /// nullspace
    #[arg(long, default_value = "inside")]
    pub(super) placement: String,
    /// Rank of the nullspace basis
    #[arg(long, default_value_t = 64)]
    pub(super) rank: usize,
    /// Use at most this many images, evenly spread
    #[arg(long, default_value_t = 256)]
    pub(super) images: usize,
    /// Seed of the direction
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    #[command(flatten)]
    pub(super) preprocess: PreprocessArgs,
}

/// A value by its name in settings.
pub(super) fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}
