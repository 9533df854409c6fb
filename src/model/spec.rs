use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which model: weights, or a timm name for new ones, and departures from the published
/// shape under timm's argument names.
///
/// ```
/// use singer::model::ModelSpec;
///
/// let mut spec = ModelSpec::named("vit_tiny_patch16_224");
/// spec.depth = Some(4);
/// assert_eq!(spec.resolve()?.config.depth, 4);
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelSpec {
    /// timm's name of the architecture; overrules what the weights are recognised as.
    pub arch: Option<String>,
    /// A file, a folder, a model of the hub or a timm name with the tag of its weights,
    /// as [`Model::open`](super::Model::open) takes it; none for new weights.
    pub weights: Option<PathBuf>,
    /// Which of the models in the weights' file: a key of the checkpoint, or a prefix of the
    /// tensors' names; by default as [`WeightsFile`](crate::weights::WeightsFile) says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
    /// Height and width of the images in pixels. Where weights were made for another size,
    /// their positions are resampled.
    pub img_size: Option<ImageSize>,
    /// Side of a patch in pixels.
    pub patch_size: Option<usize>,
    /// Width D of a token.
    pub embed_dim: Option<usize>,
    /// Number of blocks.
    pub depth: Option<usize>,
    /// Attention heads of a block.
    pub num_heads: Option<usize>,
    /// Width of the MLP's hidden layer over D.
    pub mlp_ratio: Option<f64>,
    /// Classes of the head; 0 for none.
    pub num_classes: Option<usize>,
    /// Number of register tokens.
    pub reg_tokens: Option<usize>,
}

impl ModelSpec {
    /// A new model of this timm name.
    pub fn named(arch: impl Into<String>) -> Self {
        Self { arch: Some(arch.into()), ..Self::default() }
    }

    /// A model with these weights.
    pub fn weights(reference: impl Into<PathBuf>) -> Self {
        Self { weights: Some(reference.into()), ..Self::default() }
    }
}

/// A new model of this timm name.
impl From<&str> for ModelSpec {
    fn from(arch: &str) -> Self {
        Self::named(arch)
    }
}

/// One number of pixels for a square, or height and width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageSize {
    /// Height and width are the same.
    Square(usize),
    /// `[H, W]`.
    Sides([usize; 2]),
}

impl ImageSize {
    /// `[H, W]`.
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

/// The most pixels of a side that a text may name.
const LONGEST_SIDE: usize = 1 << 14;

/// `224`, or height and width as `336x224`.
impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side =
            |text: &str| text.parse().ok().filter(|side: &usize| (1..=LONGEST_SIDE).contains(side));
        let size = match text.split_once('x') {
            Some((height, width)) => {
                side(height).zip(side(width)).map(|(height, width)| Self::Sides([height, width]))
            }
            None => side(text).map(Self::Square),
        };
        size.ok_or_else(|| {
            format!("write pixels as 224, or HEIGHTxWIDTH as 336x224, up to {LONGEST_SIDE}")
        })
    }
}
