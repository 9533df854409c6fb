use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::data::{PassedOver, Unreadable};
use crate::error::{Error, Result};
use crate::weights::WeightsFile;

/// The images of a set that have no features, as they are unreadable.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Gaps {
    /// Ascending.
    pub(super) images: Vec<usize>,
    passed_over: Option<PassedOver>,
}

impl Gaps {
    pub(super) fn of(unreadable: &Unreadable) -> Self {
        let images = unreadable.all().into_iter().map(|image| image as usize).collect();
        Self { images, passed_over: unreadable.passed_over() }
    }

    /// The other images of `total`.
    pub(super) fn readable(&self, total: usize) -> impl Iterator<Item = usize> {
        (0..total).filter(|index| self.images.binary_search(index).is_err())
    }
}

/// Features of a set of images in memory-mapped files: for each readable image the class token
/// `class` `[D]` (if the model has one), the mean patch token `mean` `[D]` and, if
/// requested, `patches` `[P, D]`. Rows are read on demand.
#[derive(Debug)]
pub struct FeatureStore {
    chunks: Vec<WeightsFile>,
    per_chunk: usize,
    /// Number of images with features.
    images: usize,
    /// Number of all, and those without.
    total: usize,
    gaps: Gaps,
    dim: usize,
    patches: Option<usize>,
    has_class_token: bool,
    /// Deleted with the store where the features are not kept.
    _temporary: Option<TempDir>,
}

impl FeatureStore {
    /// Opens the chunks of the images of `total` that have features, which must agree.
    pub(super) fn open(
        paths: &[PathBuf],
        per_chunk: usize,
        total: usize,
        gaps: Gaps,
        temporary: Option<TempDir>,
    ) -> Result<Self> {
        let chunks =
            paths.iter().map(|path| WeightsFile::open(path)).collect::<Result<Vec<_>>>()?;
        let shape = |name: &str| chunks.first().and_then(|chunk| chunk.shape(name));
        let store = Self {
            dim: shape("mean").and_then(|shape| shape.get(1)).copied().unwrap_or(0),
            patches: shape("patches").and_then(|shape| shape.get(1)).copied(),
            has_class_token: shape("class").is_some(),
            chunks,
            per_chunk,
            images: gaps.readable(total).count(),
            total,
            gaps,
            _temporary: temporary,
        };
        store.check(paths)?;
        Ok(store)
    }

    fn check(&self, paths: &[PathBuf]) -> Result<()> {
        let mut left = self.images;
        for (chunk, path) in self.chunks.iter().zip(paths) {
            let count = left.min(self.per_chunk);
            left -= count;
            let token = [count, self.dim];
            let patches = self.patches.map(|patches| [count, patches, self.dim]);
            let fits = count > 0
                && chunk.shape("mean") == Some(token.as_slice())
                && chunk.shape("class") == self.has_class_token.then_some(token.as_slice())
                && chunk.shape("patches") == patches.as_ref().map(<[usize; 3]>::as_slice);
            if !fits {
                return Err(Error::data(path, "does not hold the features that it should"));
            }
        }
        if left > 0 {
            let path = paths.last().map_or(Path::new(""), PathBuf::as_path);
            return Err(Error::data(
                path,
                format!("is the last, and {left} images have no features"),
            ));
        }
        Ok(())
    }

    /// The image in the set of each image that has features, ascending.
    pub fn readable(&self) -> impl Iterator<Item = usize> {
        self.gaps.readable(self.total)
    }

    /// The images of the set that could not be read; none where all could.
    pub fn passed_over(&self) -> Option<&PassedOver> {
        self.gaps.passed_over.as_ref()
    }

    /// Number of images that have features.
    pub fn len(&self) -> usize {
        self.images
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images == 0
    }

    /// Width D of a token.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether the model has a class token.
    pub fn has_class_token(&self) -> bool {
        self.has_class_token
    }

    /// Appends the tensor `name` of image `index`, row-major.
    ///
    /// # Panics
    /// Where there is no such tensor or image.
    pub fn append(&self, name: &str, index: usize, out: &mut Vec<f32>) {
        let (chunk, row) = (index / self.per_chunk, index % self.per_chunk);
        let data = self.chunks[chunk].read_rows(name, row..row + 1).and_then(Result::ok);
        let data = data.unwrap_or_else(|| panic!("no {name} of image {index}"));
        out.extend(data.iter::<f32>());
    }
}
