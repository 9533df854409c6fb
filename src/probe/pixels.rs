use serde::{Deserialize, Serialize};

use super::{Resample, cross_entropy, nearest};

/// Factor by which logits are upsampled from the patch grid, per side.
pub const UPSAMPLING: usize = 4;

/// The resolution at which the training loss compares logits and ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossAt {
    /// The label's own size; the logits are resampled once more.
    Label,
    /// Four times the patch grid; the label is resampled to the nearest.
    Grid,
}

/// Four times the patch grid.
pub(super) fn fine(grid: [usize; 2]) -> [usize; 2] {
    grid.map(|side| side * UPSAMPLING)
}

/// Cross-entropy of the pixels of one image. `logits` are `[h, w, C]` on the patch
/// grid, upsampled bilinearly to four times that and, with
/// [`LossAt::Label`], to the target's size. `targets` `[H, W]` are classes, or
/// none for ignored pixels. Gives the sum over pixels that have a target, their count, and the sum's
/// gradient with respect to `logits`.
///
/// # Panics
/// Where `logits` do not fill the grid or a target is not a class.
pub fn pixel_loss(
    logits: &[f32],
    grid: [usize; 2],
    targets: &[Option<u16>],
    size: [usize; 2],
    at: LossAt,
) -> (f64, usize, Vec<f32>) {
    let classes = logits.len() / (grid[0] * grid[1]);
    let fine = fine(grid);
    let resized;
    let (resample, targets) = match at {
        LossAt::Label => (Resample::through(&[grid, fine, size]), targets),
        LossAt::Grid => {
            resized = nearest(targets, size, fine);
            (Resample::through(&[grid, fine]), resized.as_slice())
        }
    };
    let width = resample.to()[1];
    let mut grad = vec![0.0; logits.len()];
    let (mut line, mut between) = (vec![0.0; width * classes], Vec::new());
    let (mut sum, mut count) = (0.0, 0);
    // Row by row, as the logits of all pixels may take a gigabyte.
    for (row, targets) in targets.chunks_exact(width).enumerate() {
        if targets.iter().all(Option::is_none) {
            continue;
        }
        resample.row(logits, classes, row, &mut between, &mut line);
        let targets = targets.iter().map(|target| target.map(usize::from));
        let (row_sum, row_count) = cross_entropy(&mut line, classes, targets);
        sum += row_sum;
        count += row_count;
        resample.row_back(&mut grad, classes, row, &mut between, &line);
    }
    (sum, count, grad)
}
