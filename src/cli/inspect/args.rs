use std::path::PathBuf;
use std::str::FromStr;

use clap::Args as ClapArgs;

use crate::cli::preprocessing::PixelArgs;
use crate::inspect::PictureSize;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct InspectArgs {
    /// Images of any size: files, folders, lists, zip and tar files (`x.zip/inner/folder`),
    /// shards, or `scenes:N` for N procedural scenes (docs/data.md)
    #[arg(required = true, value_name = "IMAGES")]
    pub(super) images: Vec<String>,
    /// The teacher's weights: a file, `hf-hub:OWNER/NAME[/FILE][@REVISION]` or a timm name
    /// with its tag; by default the run's
    #[arg(long, value_name = "FILE", required_unless_present = "run")]
    pub(super) teacher: Option<PathBuf>,
    /// The student's weights; by default the run's
    #[arg(long, value_name = "FILE")]
    pub(super) student: Option<PathBuf>,
    /// Folder of a `singer distill` run, whose adapters refine the teacher
    #[arg(long, value_name = "DIR")]
    pub(super) run: Option<PathBuf>,
    /// The teacher's timm name; needed where the file does not state the shape, or to override it
    #[arg(long, value_name = "NAME")]
    pub(super) teacher_arch: Option<String>,
    /// The student's timm name; needed where the file does not state the shape, or to override it
    #[arg(long, value_name = "NAME")]
    pub(super) student_arch: Option<String>,
    /// Which of the models in the teacher's file: a key of the checkpoint, or a prefix of the
    /// tensors' names; by default the average of the weights (EMA), else the teacher
    #[arg(long, value_name = "KEY_OR_PREFIX")]
    pub(super) weights_key: Option<String>,
    /// Which of the models in the student's file: a key of the checkpoint, or a prefix of the
    /// tensors' names; by default the average of the weights (EMA), else the teacher
    #[arg(long, value_name = "KEY_OR_PREFIX")]
    pub(super) student_weights_key: Option<String>,
    /// Teacher layers, from 0; by default the run's, else the one at 17/24 of the
    /// depth and the last
    #[arg(long, value_name = "L,L,...", value_delimiter = ',')]
    pub(super) layers: Option<Vec<usize>>,
    /// Quantile of an image's patch norms above which a patch is an outlier; by default
    /// the run's, else 0.97
    #[arg(long, value_name = "Q")]
    pub(super) quantile: Option<f64>,
    /// The patch to compare all others with, from 0, in every image or in one (from 0); by
    /// default the one with the teacher's largest norm
    #[arg(long, value_name = "[IMAGE:]ROW,COL")]
    pub(super) mark: Option<Mark>,
    /// Further maps: pca (principal components as colours), attention (of the class token and
    /// the marked patch, by head), segments (k-means), nearest (patches like the marked one in
    /// all images)
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub(super) map: Vec<String>,
    /// Colour only the foreground in pca: patches whose first component lies above T of its
    /// standard deviations
    #[arg(long, value_name = "T", num_args = 0..=1, default_missing_value = "0", allow_negative_numbers = true)]
    pub(super) foreground: Option<f64>,
    /// Number of segments
    #[arg(long, value_name = "K", default_value_t = 6)]
    pub(super) segments: usize,
    /// Finer pca, segments and nearest: average over N x N shifted copies of each image, which
    /// takes N x N times as long; N divides the patch
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) shifts: usize,
    /// Norms at these input sizes, too: lengths of the shorter side in pixels
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub(super) sizes: Vec<Size>,
    /// Length of the shorter side in pixels, or `original` to keep the size of each
    /// image; by default the teacher's
    #[arg(long, value_name = "N|original")]
    pub(super) size: Option<Size>,
    /// Use at most this many images, evenly spread
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(super) limit: usize,
    /// Put the refined features back into the teacher and measure how far its later blocks
    /// move, beside clipped and zeroed outliers
    #[arg(long)]
    pub(super) inject: bool,
    /// Also refine without training: remove this share of the outliers' nullspace
    /// component
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "1")]
    pub(super) training_free: Option<f64>,
    /// Also show what treatments of artifacts make of the teacher's features, estimated on these
    /// images: closed, neighbours (SINDER), registers (test-time), averaged (PH-Reg)
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub(super) refine: Vec<String>,
    /// Adapters that refine the teacher: of `singer fit`, a run or the browser
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub(super) adapters: Option<PathBuf>,
    /// Rank of the nullspace basis; by default the run's, else 64
    #[arg(long, value_name = "R")]
    pub(super) rank: Option<usize>,
    #[command(flatten)]
    pub(super) pixels: PixelArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) batch: usize,
    /// auto, cpu, gpu, gpu:N or software
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Output folder
    #[arg(short, long, value_name = "DIR", default_value = "singer-inspect")]
    pub(super) out: PathBuf,
}

/// Row and column of a patch, and the image that it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) image: Option<usize>,
    pub(super) patch: [usize; 2],
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write the patch's row and column, from 0: 3,5; with an image, from 0: 2:3,5".to_owned()
        };
        let number = |text: &str| text.trim().parse().map_err(|_| wrong());
        let (image, place) = match text.split_once(':') {
            Some((image, place)) => (Some(number(image)?), place),
            None => (None, text),
        };
        let (row, col) = place.split_once(',').ok_or_else(wrong)?;
        Ok(Self { image, patch: [number(row)?, number(col)?] })
    }
}

/// How large an image is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(pub(super) PictureSize);

/// No side is made longer.
const LARGEST: usize = 1 << 14;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(side) if (1..=LARGEST).contains(&side) => Ok(Self(PictureSize::Shorter(side))),
            _ if text == "original" => Ok(Self(PictureSize::Original)),
            _ => Err(format!("write a number of pixels, 1 to {LARGEST}, or `original`")),
        }
    }
}
