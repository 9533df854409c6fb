use image::RgbImage;

use super::patches::check_patches;
use crate::error::{Error, Result};

/// Features on a grid finer than the patches: the mean over shifted copies of the image, each
/// moved back. A cell is as wide as a patch over `shifts` and has the mean of all patches that
/// cover it, up to `shifts²`. Memory holds the sums and one copy's features.
#[derive(Debug, Clone)]
pub struct FineFeatures {
    shifts: usize,
    dim: usize,
    /// Of patches.
    grid: [usize; 2],
    sums: Vec<f32>,
    counts: Vec<f32>,
}

impl FineFeatures {
    /// Nothing yet, for `grid` patches and features of width `dim`. Takes
    /// `4 D shifts²` bytes a patch.
    pub fn new(grid: [usize; 2], shifts: usize, dim: usize) -> Self {
        let cells = grid[0] * grid[1] * shifts * shifts;
        Self { shifts, dim, grid, sums: vec![0.0; cells * dim], counts: vec![0.0; cells] }
    }

    /// Checks that patches of `patch` pixels can be shifted so many times.
    ///
    /// # Errors
    /// [`Error::Setting`] where `shifts` does not divide the patch.
    pub fn check(shifts: usize, patch: usize) -> Result<()> {
        if shifts == 0 || !patch.is_multiple_of(shifts) {
            let expected = format!("it must divide the patch's {patch} pixels");
            return Err(Error::setting("shifts", shifts, expected));
        }
        Ok(())
    }

    /// All offsets of the copies, in cells down and to the right.
    pub fn offsets(shifts: usize) -> impl Iterator<Item = [usize; 2]> {
        (0..shifts).flat_map(move |down| (0..shifts).map(move |right| [down, right]))
    }

    /// Rows and columns of cells.
    pub fn cells(&self) -> [usize; 2] {
        self.grid.map(|count| count * self.shifts)
    }

    /// Adds the features `[P, D]` of the copy at an offset.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fill the grid, or are not finite.
    pub fn add(&mut self, [down, right]: [usize; 2], features: &[f32]) -> Result<()> {
        check_patches(features, self.grid, self.dim)?;
        let [rows, columns] = self.cells();
        for (patch, feature) in features.chunks_exact(self.dim).enumerate() {
            let top = patch / self.grid[1] * self.shifts + down;
            let left = patch % self.grid[1] * self.shifts + right;
            for row in top..(top + self.shifts).min(rows) {
                for column in left..(left + self.shifts).min(columns) {
                    let cell = row * columns + column;
                    self.counts[cell] += 1.0;
                    let sums = &mut self.sums[cell * self.dim..][..self.dim];
                    sums.iter_mut().zip(feature).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        Ok(())
    }

    /// The means, `[cells, D]`; zeros where no patch was added.
    pub fn mean(mut self) -> Vec<f32> {
        for (cell, count) in self.sums.chunks_exact_mut(self.dim).zip(&self.counts) {
            cell.iter_mut().for_each(|sum| *sum /= count.max(1.0));
        }
        self.sums
    }
}

/// An image moved up and to the left by `[down, right]` pixels; its last rows and columns are
/// repeated.
pub fn shifted(image: &RgbImage, [down, right]: [u32; 2]) -> RgbImage {
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        *image.get_pixel((x + right).min(width - 1), (y + down).min(height - 1))
    })
}
