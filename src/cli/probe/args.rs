use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::cli::args::named;
use crate::cli::models::ShapeArgs;
use crate::cli::preprocessing::PreprocessArgs;
use crate::probe::features::FeaturePrecision;
use crate::probe::{LossAt, Token};

/// Fit linear heads to a frozen model's features and measure them.
///
/// Features are those of the last block without the final norm. They are computed
/// once and kept, so that further heads on them cost little.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ProbeArgs {
    #[command(subcommand)]
    pub(super) task: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// A class for each image: top-1, top-5, nearest neighbours
    Classify(ClassifyArgs),
    /// A class for each pixel: mIoU, pixel and mean accuracy
    Segment(SegmentArgs),
    /// A depth for each pixel: RMSE, MAE, REL, delta
    Depth(DepthArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct ModelArgs {
    /// The model's weights: a file, `hf-hub:OWNER/NAME[/FILE][@REVISION]` or a timm name
    /// with its tag
    pub(super) weights: PathBuf,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// Probe a model of this shape with random weights instead
    #[arg(long)]
    pub(super) untrained: bool,
    /// Apply the model's final norm to the last block's tokens
    #[arg(long)]
    pub(super) final_norm: bool,
    /// Probe a student's tokens in the width of its teacher, by the projection that its
    /// distillation trained: that of the run whose student it is, or of another run's folder. A
    /// model beside which there is none is probed as it is
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true, conflicts_with = "final_norm")]
    pub(super) lift: Option<Option<PathBuf>>,
    /// Images in a batch of the model
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(super) feature_batch: usize,
    /// auto, cpu, gpu, gpu:N or software (`singer devices` lists them)
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Threads that decode images; by default one for each core, at most 8
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Folder in which features are kept; by default `singer/features` in the user's
    /// cache folder
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(super) cache: Option<PathBuf>,
    /// Keep no features; they lie in the system's temporary folder while the program
    /// runs
    #[arg(long)]
    pub(super) no_cache: bool,
    /// f32, or f16 to keep features in half the space
    #[arg(long, value_name = "KIND", default_value = "f32", value_parser = named::<FeaturePrecision>)]
    pub(super) cache_precision: FeaturePrecision,
    #[command(flatten)]
    pub(super) preprocess: PreprocessArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FitArgs {
    /// Images in a batch of the head; by default 256, for segments and depth 16
    #[arg(long, value_name = "N")]
    pub(super) batch: Option<usize>,
    /// Passes over the training images; by default 100, for segments and depth 20
    #[arg(long, value_name = "N")]
    pub(super) epochs: Option<usize>,
    /// sgd or adamw; by default sgd, for segments and depth adamw
    #[arg(long, value_name = "NAME")]
    pub(super) optimizer: Option<OptimizerArg>,
    /// Learning rate at the end of the cosine
    #[arg(long, default_value_t = 1e-8)]
    pub(super) min_lr: f64,
    /// Momentum of SGD
    #[arg(long, default_value_t = 0.0)]
    pub(super) momentum: f64,
    /// Weight decay; by default 0 for sgd and 1e-4 for adamw
    #[arg(long)]
    pub(super) weight_decay: Option<f32>,
    /// Seed of the head's initial weights and of the order of images
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Folder for probe.json, the head's weights and the pictures
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ClassifyArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) fit: FitArgs,
    /// Images to train on: a folder with one folder for each class, also below
    /// folders called train and test, a zip of one (`x.zip/inner/folder`), a published
    /// layout (`imagenet:`, `imagenet-r:`, `imagenet-v2:`, `inat2019:`, `aircraft:`,
    /// `pets:`, `food101:`, `flowers102:`, `cifar10:` and a path), or `scenes:N`
    #[arg(long, value_name = "PLACE")]
    pub(super) train: String,
    /// Images to measure on, of the classes of --train; of a set with splits the test
    /// split, or the validation split where the test has no labels
    #[arg(long, value_name = "PATH")]
    pub(super) test: Option<String>,
    /// A set with some of the classes, such as ImageNet-R or -V2: only these are
    /// compared. May be given more than once
    #[arg(long, value_name = "PATH")]
    pub(super) subset: Vec<String>,
    /// class, mean (of the patches) or both
    #[arg(long, default_value = "class", value_parser = named::<Token>)]
    pub(super) token: Token,
    /// Learning rate of the first step, by default 0.5, and 1e-3 for adamw; of
    /// several, the one that does best on a held-out tenth of the training images
    #[arg(long, value_name = "LR,LR,...", value_delimiter = ',')]
    pub(super) lr: Vec<f64>,
    /// Use at most this many images of each set, evenly spread
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Leave out the nearest neighbours
    #[arg(long)]
    pub(super) no_knn: bool,
}

/// Options of both probes of pixels.
#[derive(Debug, ClapArgs)]
pub(super) struct DenseArgs {
    /// Learning rate of the first step, by default 1e-3, and 0.5 for sgd
    #[arg(long)]
    pub(super) lr: Option<f64>,
    /// Use at most this many images of each set, evenly spread
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Images shown in the sheet of inputs, truths and predictions (with --out)
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(super) show: usize,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SegmentArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) fit: FitArgs,
    #[command(flatten)]
    pub(super) dense: DenseArgs,
    /// Images to train on: a published layout (`ade20k:`, `camvid:` and a path; its
    /// training split is taken), `scenes:N`, or a folder that holds `images` and
    /// `annotations` (PNG files of the same names), or one below `images`
    /// (`set/images/train`); in a zip too (`x.zip/set/images/train`)
    #[arg(long, value_name = "PLACE")]
    pub(super) train: String,
    /// Images to measure on, in the same form; of a layout its test split, or its
    /// validation split where the test has no labels
    #[arg(long, value_name = "PLACE")]
    pub(super) test: String,
    /// For folders, labels to ignore; the labels above an ignored one move down, so with 0
    /// ignored label 1 is the first class
    #[arg(long, value_name = "L,L,...", value_delimiter = ',', default_value = "255")]
    pub(super) ignore: Vec<u16>,
    /// For folders, the number of classes; by default as many as the labels need
    #[arg(long, value_name = "N", conflicts_with = "names")]
    pub(super) classes: Option<usize>,
    /// For folders, a text file with the classes' names, one per line
    #[arg(long, value_name = "FILE")]
    pub(super) names: Option<PathBuf>,
    /// Resolution of the loss in training: label (the label's size) or grid
    /// (four times the patch grid, faster)
    #[arg(long, default_value = "label", value_parser = named::<LossAt>)]
    pub(super) loss_at: LossAt,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DepthArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) fit: FitArgs,
    #[command(flatten)]
    pub(super) dense: DenseArgs,
    /// Images to train on: a published layout (`nyu:` and a path; its training split
    /// is taken), `scenes:N`, or a folder that holds `images` and `depth` (16-bit PNG
    /// files of the same names), or one below `images` (`set/images/train`); in a zip too
    /// (`x.zip/set/images/train`)
    #[arg(long, value_name = "PLACE")]
    pub(super) train: String,
    /// Images to measure on, in the same form; of a layout its test split
    #[arg(long, value_name = "PLACE")]
    pub(super) test: String,
    /// For folders, metres per unit of a depth map
    #[arg(long, value_name = "METRES", default_value_t = 0.001)]
    pub(super) unit: f32,
    /// Number of depth bins
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(super) bins: usize,
    /// Ignore depths from here on, in metres
    #[arg(long, value_name = "METRES", default_value_t = 10.0)]
    pub(super) max_depth: f32,
    /// Divides the logits before the softmax that gives the predicted depth
    #[arg(long, default_value_t = 0.03)]
    pub(super) temperature: f32,
    /// Resolution of the loss in training: label (the label's size) or grid
    /// (four times the patch grid, faster)
    #[arg(long, default_value = "grid", value_parser = named::<LossAt>)]
    pub(super) loss_at: LossAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OptimizerArg {
    Sgd,
    Adamw,
}
