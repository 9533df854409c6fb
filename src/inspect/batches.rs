use std::collections::BTreeMap;

use burn::tensor::{Device as BurnDevice, Tensor};

use super::Picture;
use super::inspection::Settings;
use crate::data::Normalise;
use crate::error::{Error, Result};

/// The most patches an image may have. Attention stores their square for each head:
/// 4 GiB for a ViT-L.
pub const MOST_PATCHES: usize = 1 << 13;

/// Pictures of one grid.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// Patches along height and width.
    pub(super) grid: [usize; 2],
    /// Each with its index in the whole set.
    pub(super) pictures: Vec<(usize, &'a Picture)>,
}

impl Batch<'_> {
    /// As a model takes them, `[B, 3, H, W]`.
    pub(super) fn tensor(&self, normalise: Normalise, device: &BurnDevice) -> Result<Tensor<4>> {
        normalise.batch(self.pictures.iter().map(|(_, picture)| &picture.image), device)
    }
}

/// Height and width in pixels.
pub(super) fn sides(picture: &Picture) -> [usize; 2] {
    [picture.image.height() as usize, picture.image.width() as usize]
}

/// Groups pictures into batches of equal grids; within a grid they keep their order.
///
/// # Errors
/// [`Error::Data`] for a picture that is not made of whole patches or lacks the patch
/// to be marked, [`Error::TooManyPatches`] for one with more than [`MOST_PATCHES`],
/// [`Error::NoImages`].
pub(super) fn batches<'a>(
    pictures: &'a [Picture],
    patch: usize,
    settings: &Settings,
) -> Result<Vec<Batch<'a>>> {
    let mut by_grid: BTreeMap<[usize; 2], Vec<(usize, &'a Picture)>> = BTreeMap::new();
    for (index, picture) in pictures.iter().enumerate() {
        let [height, width] = sides(picture);
        let grid = [height / patch, width / patch];
        if grid.contains(&0) || grid.map(|side| side * patch) != [height, width] {
            let reason = format!("{height}x{width} pixels are not whole patches of {patch}");
            return Err(Error::data(&picture.name, reason));
        }
        if grid[0] * grid[1] > MOST_PATCHES {
            return Err(Error::TooManyPatches {
                path: picture.name.clone().into(),
                patches: grid[0] * grid[1],
                limit: MOST_PATCHES,
            });
        }
        if let Some([row, col]) = settings.mark_in(index)
            && (row >= grid[0] || col >= grid[1])
        {
            let reason = format!(
                "the marked patch {row},{col} lies outside its {}x{} patches; rows are 0 to {} and columns 0 to {}",
                grid[0],
                grid[1],
                grid[0] - 1,
                grid[1] - 1
            );
            return Err(Error::data(&picture.name, reason));
        }
        by_grid.entry(grid).or_default().push((index, picture));
    }
    if by_grid.is_empty() {
        return Err(Error::NoImages);
    }
    let batches = by_grid.into_iter().flat_map(|(grid, pictures)| {
        // As many as hold no more attention than one of the largest images.
        let most = (MOST_PATCHES / (grid[0] * grid[1])).pow(2);
        let parts: Vec<_> = pictures.chunks(settings.batch.min(most)).map(<[_]>::to_vec).collect();
        parts.into_iter().map(move |pictures| Batch { grid, pictures })
    });
    Ok(batches.collect())
}
