use image::RgbImage;
use serde::Serialize;

use super::Visual;

/// Everything that an inspection measured, and the pictures it used.
///
/// A subject names the features that a number describes: `teacher`, `refined teacher`
/// (refined by a run's adapters), `training-free` (refined in closed form) or
/// `student`.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// Names of the models, subject first: `("teacher", "vit_large_patch16_224")`.
    pub models: Vec<(String, String)>,
    /// The device that was used.
    pub device: String,
    /// γ: an outlier's norm exceeds this quantile of its image's norms.
    pub quantile: f64,
    /// The inspected teacher layers, from 0.
    pub layers: Vec<usize>,
    /// One entry per image.
    pub images: Vec<ImageFindings>,
    /// Patch norms over all images, by block.
    pub depth: Vec<DepthSeries>,
    /// Distribution of patch norms over all images.
    pub histograms: Vec<Histogram>,
    /// Where in the image outliers are.
    pub positions: Vec<PositionShare>,
    /// Singular values of the block after each layer.
    pub spectra: Vec<Spectrum>,
    /// How the teacher's outcome changes when features are put back into it.
    pub injections: Vec<Injection>,
    /// What could not be shown, and why; one sentence each.
    pub notes: Vec<String>,
}

/// One image and its maps.
#[derive(Debug, Clone, Serialize)]
pub struct ImageFindings {
    /// The file's name, unique within the inspection.
    pub name: String,
    /// Height and width in pixels, as the model saw it.
    pub size: [usize; 2],
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Row and column of the marked patch.
    pub marked: [usize; 2],
    /// The layers in ascending order.
    pub layers: Vec<LayerFindings>,
    /// Further maps, those that were asked for.
    pub visuals: Vec<Visual>,
    /// What the model saw, before normalisation.
    #[serde(skip)]
    pub picture: RgbImage,
}

/// The maps of one image after one teacher layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerFindings {
    /// The teacher's layer, from 0.
    pub layer: usize,
    /// The student's layer that is compared with it.
    pub student_layer: Option<usize>,
    /// γ-quantile of the raw teacher's norms.
    pub threshold: f32,
    /// The maps, in display order.
    pub maps: Vec<Map>,
}

/// What a map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapKind {
    /// L2 norm of each patch.
    Norm,
    /// Cosine similarity of each patch to the marked one.
    MarkedSimilarity,
    /// Cosine similarity of each patch of the teacher to the student's, as the
    /// projection head maps it into the teacher's space.
    TeacherStudentSimilarity,
}

/// One value per patch.
#[derive(Debug, Clone, Serialize)]
pub struct Map {
    /// What it shows.
    pub kind: MapKind,
    /// Whose features.
    pub subject: String,
    /// Row-major, one value per patch of the grid.
    pub values: Vec<f32>,
    /// Smallest, median and largest value.
    pub summary: [f32; 3],
    /// For norms: patches above the γ-quantile of the raw teacher (of itself for
    /// the student).
    pub outliers: Option<usize>,
}

/// Patch norms by block.
#[derive(Debug, Clone, Serialize)]
pub struct DepthSeries {
    /// Whose features.
    pub subject: String,
    /// In ascending order; refined features exist at the inspected layers only.
    pub rows: Vec<DepthRow>,
}

/// Patch norms after one block, over all images.
#[derive(Debug, Clone, Serialize)]
pub struct DepthRow {
    /// The block, from 0.
    pub layer: usize,
    /// Quantiles 0, 0.05, 0.25, 0.5, 0.75, 0.95, γ and 1.
    pub quantiles: [f32; 8],
    /// Share of patches above three times their image's median.
    pub outlier_share: f32,
}

/// A histogram of patch norms with bins of equal width.
#[derive(Debug, Clone, Serialize)]
pub struct Histogram {
    /// Whose features.
    pub subject: String,
    /// The subject's own block.
    pub layer: usize,
    /// The teacher's layer that it belongs to.
    pub teacher_layer: usize,
    /// The bins' edges, one more than there are counts.
    pub edges: Vec<f32>,
    /// Patches in each bin.
    pub counts: Vec<usize>,
    /// Mean over images of the γ-quantile.
    pub threshold: f32,
}

/// How often each position of the image is an outlier (above three times its
/// image's median norm), on a common grid.
#[derive(Debug, Clone, Serialize)]
pub struct PositionShare {
    /// Whose features.
    pub subject: String,
    /// The teacher's layer.
    pub layer: usize,
    /// Rows and columns.
    pub grid: [usize; 2],
    /// Row-major shares, 0 to 1.
    pub share: Vec<f32>,
}

/// Singular values of a linearised block.
#[derive(Debug, Clone, Serialize)]
pub struct Spectrum {
    /// The layer that feeds the block.
    pub layer: usize,
    /// The block that was linearised.
    pub block: usize,
    /// Descending.
    pub values: Vec<f64>,
    /// Rank of the basis, which the directions of this many smallest values span.
    pub rank: usize,
}

/// How the teacher's outcome changes when one layer's features are replaced.
#[derive(Debug, Clone, Serialize)]
pub struct Injection {
    /// Where the features were replaced.
    pub layer: usize,
    /// `refined teacher`, `training-free`, `clipped` or `zeroed`.
    pub method: String,
    /// From that layer to the last block.
    pub blocks: Vec<BlockDrift>,
    /// After the final norm: mean cosine of the class token to the unchanged one
    /// (of a model without one, of its pooled output).
    pub class_cosine: f32,
    /// The same over patch tokens.
    pub patch_cosine: f32,
    /// `None` where the teacher has no head.
    pub logits: Option<LogitDrift>,
}

/// How far one block's output moved; means over all images.
#[derive(Debug, Clone, Serialize)]
pub struct BlockDrift {
    /// The block, from 0.
    pub block: usize,
    /// Cosine of the class token to the unchanged one (of a model without one,
    /// of the tokens pooled as at the model's end).
    pub class_cosine: f32,
    /// Cosine of the patch tokens to the unchanged ones.
    pub patch_cosine: f32,
    /// Norm of the change over the norm of the unchanged patch token.
    pub relative_change: f32,
}

/// How far the head's output moved.
#[derive(Debug, Clone, Serialize)]
pub struct LogitDrift {
    /// Mean KL divergence from the unchanged class probabilities, in nats.
    pub kl: f32,
    /// Share of images whose top-1 class stayed the same.
    pub top1_agreement: f32,
}
