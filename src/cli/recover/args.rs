use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cli::models::ShapeArgs;
use crate::cli::preprocessing::PreprocessArgs;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct RecoverArgs {
    /// The clean teacher's weights
    pub(super) clean: PathBuf,
    /// Images on which artifacts are planted and adapters fitted
    #[arg(long, value_name = "PLACE", required = true)]
    pub(super) data: Vec<String>,
    /// Images on which the recovery is measured; by default those of --data
    #[arg(long, value_name = "PLACE")]
    pub(super) val: Vec<String>,
    /// Use at most this many images of each, evenly spread
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(super) limit: usize,
    /// Output folder: table, numbers and figure
    #[arg(short, long, value_name = "DIR", default_value = "recovery")]
    pub(super) out: PathBuf,
    /// The same teacher with artifacts from `singer plant`, instead of planting new
    /// ones
    #[arg(long, value_name = "FILE")]
    pub(super) planted: Option<PathBuf>,
    /// Folder of a `singer distill` run of the planted teacher, whose adapters are used
    /// instead of fitting new ones
    #[arg(long, value_name = "DIR", requires = "planted")]
    pub(super) run: Option<PathBuf>,
    /// First remove what was planted in this block of CLEAN: silence the hidden unit
    /// that writes the longest vector
    #[arg(long, value_name = "BLOCK")]
    pub(super) silence: Option<usize>,
    /// The block in which artifacts are planted; by default the one at 17/24 of the depth
    #[arg(long)]
    pub(super) block: Option<usize>,
    /// What is planted: single, two, four, varied, wobble, noise, shrunk, class-token or blocks
    /// (docs/recovery.md)
    #[arg(long, value_name = "K,K,...", value_delimiter = ',', default_value = "single")]
    pub(super) kinds: Vec<String>,
    /// Directions of planted vectors: inside, mixed or outside the next block's left
    /// nullspace
    #[arg(
        long,
        value_name = "P,P,...",
        value_delimiter = ',',
        default_value = "inside,mixed,outside"
    )]
    pub(super) placements: Vec<String>,
    /// Norms of planted vectors as multiples of the median patch norm
    #[arg(long, value_name = "S,S,...", value_delimiter = ',', default_value = "3,6")]
    pub(super) strengths: Vec<f64>,
    /// Share of patches that get an artifact
    #[arg(long, default_value_t = 0.03)]
    pub(super) share: f64,
    /// Share of images whose class token gets one, for the kind class-token
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    pub(super) class_share: f64,
    /// What is done to the features; by default all there is: raw, closed-form, published,
    /// trained, training-free, clipped, replaced-by-mean, neighbours, registers, averaged
    #[arg(long, value_name = "T,T,...", value_delimiter = ',')]
    pub(super) treatments: Vec<String>,
    /// Rank of adapters and bases
    #[arg(long, default_value_t = 64)]
    pub(super) rank: usize,
    /// Basis from which adapters start and which training-free refinement removes: smallest, random
    /// or data
    #[arg(long, value_name = "KIND", default_value = "smallest")]
    pub(super) basis: String,
    /// Quantile of an image's patch norms above which a patch is an outlier
    #[arg(long, default_value_t = 0.97)]
    pub(super) quantile: f64,
    /// Steps of fitting the adapters by the outlier and the information loss
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub(super) fit_steps: usize,
    /// Learning rate of the fit at its start
    #[arg(long, default_value_t = 1e-2)]
    pub(super) lr: f64,
    /// λ of the outlier loss
    #[arg(long, value_name = "W", default_value_t = 0.01)]
    pub(super) outlier_weight: f64,
    /// λ of the information loss
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    pub(super) info_weight: f64,
    /// The first seed of the planted directions
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Plant with this many seeds, and give means and standard deviations
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seeds: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    #[command(flatten)]
    pub(super) preprocess: PreprocessArgs,
}
