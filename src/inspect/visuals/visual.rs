use serde::{Deserialize, Serialize};

/// Further maps that an inspection draws when asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VisualKind {
    /// Three principal components of the patches of all images, as red, green and blue.
    Pca,
    /// What the class token and the marked patch attend to, by head and on average.
    Attention,
    /// Segments of all images' patches by k-means.
    Segments,
    /// Similarity of every image's patches to one patch of one image, and the nearest of each.
    Nearest,
    /// Patch norms at other input sizes.
    Sizes,
}

/// A further map of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Visual {
    /// The teacher's layer, from 0.
    pub layer: usize,
    /// What it shows.
    pub kind: VisualKind,
    /// Whose features.
    pub subject: String,
    /// Which of several: `mean` or `head 3` of an attention, `336 px` of an input size; else
    /// empty.
    pub part: String,
    /// Whose attention; else empty.
    pub of: String,
    /// Rows and columns of the values; finer than the patches with shifted copies.
    pub grid: [usize; 2],
    /// Row-major.
    pub values: VisualValues,
    /// A marked place of the grid: the nearest patch.
    pub marked: Option<[usize; 2]>,
    /// What must be known to read it.
    pub note: String,
}

/// What a map holds for each cell of its grid.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisualValues {
    /// Red, green and blue, 0 to 1; NaN for background.
    Colours(Vec<[f32; 3]>),
    /// Norms, cosines, or shares of an attention.
    Numbers(Vec<f32>),
    /// Segments, from 0.
    Labels(Vec<usize>),
}
