use std::borrow::Cow;

use crate::error::{Error, Result};

/// Patch features of a set of images, read image by image, so that a set need not fit into
/// memory.
pub trait PatchFeatures {
    /// Width D of a feature.
    fn dim(&self) -> usize;

    /// Rows and columns of patches of each image.
    fn grids(&self) -> &[[usize; 2]];

    /// The features of an image, `[P, D]`, row-major.
    ///
    /// # Errors
    /// Those of where the features are kept.
    fn read(&self, image: usize) -> Result<Cow<'_, [f32]>>;

    /// Number of patches of all images.
    fn patches(&self) -> usize {
        self.grids().iter().map(|[rows, columns]| rows * columns).sum()
    }
}

/// Patch features in memory.
#[derive(Debug, Clone)]
pub struct HeldFeatures {
    dim: usize,
    grids: Vec<[usize; 2]>,
    images: Vec<Vec<f32>>,
}

impl HeldFeatures {
    /// None yet, of width `dim`.
    pub fn new(dim: usize) -> Self {
        Self { dim, grids: Vec::new(), images: Vec::new() }
    }

    /// Adds an image's features `[P, D]`, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fill `grid`, or are not finite.
    pub fn push(&mut self, grid: [usize; 2], features: Vec<f32>) -> Result<()> {
        check_patches(&features, grid, self.dim)?;
        self.grids.push(grid);
        self.images.push(features);
        Ok(())
    }
}

impl PatchFeatures for HeldFeatures {
    fn dim(&self) -> usize {
        self.dim
    }

    fn grids(&self) -> &[[usize; 2]] {
        &self.grids
    }

    fn read(&self, image: usize) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.images[image]))
    }
}

/// Whether features fill a grid of patches with finite numbers.
pub(crate) fn check_patches(
    features: &[f32],
    [rows, columns]: [usize; 2],
    dim: usize,
) -> Result<()> {
    if dim == 0 || features.is_empty() || features.len() != rows * columns * dim {
        let found = features.len();
        let reason = format!("{found} values are not {rows}x{columns} patches of width {dim}");
        return Err(Error::shape("patch features", reason));
    }
    match features.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::shape("patch features", "they hold values that are not finite")),
    }
}
