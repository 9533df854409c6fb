use serde::{Deserialize, Serialize};

use super::FeatureStore;

/// Inputs of a head: for each image one row of features, or one row per patch.
pub trait FeatureRows: Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Width D of a row.
    fn dim(&self) -> usize;

    /// Appends the rows of image `index`, `[R, D]` row-major.
    ///
    /// # Panics
    /// Where there is no such image.
    fn append(&self, index: usize, out: &mut Vec<f32>);

    /// The rows of several images, concatenated.
    fn gather(&self, indices: &[usize]) -> Vec<f32> {
        let mut out = Vec::new();
        for &index in indices {
            self.append(index, &mut out);
        }
        out
    }
}

/// The feature that represents a whole image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Token {
    /// The class token; in a model without one, the mean patch.
    #[default]
    Class,
    /// The mean of the patch tokens.
    Mean,
    /// Class token and mean patch, concatenated; in a model without class token, the
    /// mean patch alone.
    Both,
}

/// One row per image.
#[derive(Debug, Clone, Copy)]
pub struct TokenRows<'a> {
    /// The features.
    pub store: &'a FeatureStore,
    /// Which feature represents an image.
    pub token: Token,
}

impl TokenRows<'_> {
    fn parts(&self) -> &'static [&'static str] {
        match (self.token, self.store.has_class_token()) {
            (Token::Class, true) => &["class"],
            (Token::Both, true) => &["class", "mean"],
            _ => &["mean"],
        }
    }
}

impl FeatureRows for TokenRows<'_> {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn dim(&self) -> usize {
        self.store.dim() * self.parts().len()
    }

    fn append(&self, index: usize, out: &mut Vec<f32>) {
        for part in self.parts() {
            self.store.append(part, index, out);
        }
    }
}

/// One row per patch, in row-major order of the grid.
#[derive(Debug, Clone, Copy)]
pub struct PatchRows<'a> {
    /// The features; they must hold patches.
    pub store: &'a FeatureStore,
    /// Whether the class token (in a model without one, the mean patch) is appended to
    /// each patch token.
    pub with_class: bool,
}

impl FeatureRows for PatchRows<'_> {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn dim(&self) -> usize {
        self.store.dim() * if self.with_class { 2 } else { 1 }
    }

    fn append(&self, index: usize, out: &mut Vec<f32>) {
        if !self.with_class {
            self.store.append("patches", index, out);
            return;
        }
        let (mut patches, mut image) = (Vec::new(), Vec::new());
        self.store.append("patches", index, &mut patches);
        let part = if self.store.has_class_token() { "class" } else { "mean" };
        self.store.append(part, index, &mut image);
        for patch in patches.chunks_exact(self.store.dim()) {
            out.extend_from_slice(patch);
            out.extend_from_slice(&image);
        }
    }
}

/// Rows in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    /// Row-major `[N, R, D]`.
    pub values: Vec<f32>,
    /// Rows R of an image.
    pub rows: usize,
    /// D.
    pub dim: usize,
}

impl FeatureRows for MemoryRows {
    fn len(&self) -> usize {
        self.values.len() / (self.rows * self.dim).max(1)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn append(&self, index: usize, out: &mut Vec<f32>) {
        let size = self.rows * self.dim;
        out.extend_from_slice(&self.values[index * size..][..size]);
    }
}
