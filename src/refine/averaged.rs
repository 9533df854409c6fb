use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Normalise;
use crate::error::{Error, Result};
use crate::tokens::on_patches;
use crate::vit::Vit;

/// A shifted and perhaps mirrored copy of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Rows and columns of patches by which the content moves up and left; negative: down
    /// and right.
    pub shift: [i32; 2],
    /// Whether it is then mirrored, left to right.
    pub flip: bool,
}

/// Settings of [`Averaged`]; the defaults are the authors'.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AveragedSettings {
    /// Number of views; the first is the image itself.
    pub views: usize,
    /// The longest shift over the image's side, 0 to 1; rounded to whole patches.
    pub shift: f64,
    /// Of the views.
    pub seed: u64,
}

impl Default for AveragedSettings {
    fn default() -> Self {
        Self { views: 10, shift: 0.15, seed: 0 }
    }
}

impl AveragedSettings {
    /// The settings with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The views of images with a grid of patches: the image itself, then shifts that lie far
    /// apart (farthest point sampling from ten times as many drawn ones), each mirrored or
    /// not by chance. Equal for all images of a grid.
    pub fn views(&self, grid: [usize; 2]) -> Vec<View> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let most = grid.map(|side| (self.shift * side as f64).round_ties_even() as i32);
        let drawn: Vec<[i32; 2]> =
            (0..10 * self.views).map(|_| most.map(|most| rng.random_range(-most..=most))).collect();
        let mut farthest = [0, 0];
        let mut distances = vec![i32::MAX; drawn.len()];
        (0..self.views)
            .map(|index| {
                let view = View { shift: farthest, flip: index > 0 && rng.random_bool(0.5) };
                for (distance, at) in distances.iter_mut().zip(&drawn) {
                    let apart = [0, 1].map(|axis| (at[axis] - farthest[axis]).pow(2));
                    *distance = (*distance).min(apart[0] + apart[1]);
                }
                let next = (0..drawn.len()).max_by_key(|&at| distances[at]);
                farthest = next.map_or([0, 0], |next| drawn[next]);
                view
            })
            .collect()
    }
}

/// PH-Reg's targets (Yan et al., 2025, arXiv 2505.21501): patch features averaged over
/// shifted and mirrored copies of the image, moved back. Artifacts that do not move with the
/// content average out.
///
/// Shifts are by whole patches, as in the authors' program, and what comes in is white. A
/// patch is averaged over the views that show it. The authors' targets are patches alone, of
/// views drawn anew for each image and epoch; here class and register tokens are those of
/// the image itself, and the views of a grid are the same for all images. Each view is a
/// pass of its own, so blocks read its own tokens, not averaged ones.
#[derive(Debug, Clone)]
pub struct Averaged {
    settings: AveragedSettings,
    /// White, normalised.
    fill: [f32; 3],
}

impl Averaged {
    /// The same for those that refine a teacher alike.
    pub(super) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// For images that were normalised so.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(settings: &AveragedSettings, normalise: Normalise) -> Result<Self> {
        if settings.views == 0 {
            return Err(Error::setting("averaged.views", 0, "it must be at least 1"));
        }
        if !(0.0..1.0).contains(&settings.shift) {
            let expected = "it must be at least 0 and below 1";
            return Err(Error::setting("averaged.shift", settings.shift, expected));
        }
        let Normalise { mean, std } = normalise;
        let fill = std::array::from_fn(|channel| (1.0 - mean[channel]) / std[channel]);
        Ok(Self { settings: settings.clone(), fill })
    }

    /// The averaged tokens leaving `layers`, `[B, 3, H, W]` to `[B, T, D]` each.
    pub fn intermediate(&self, vit: &Vit, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        let views = self.settings.views(vit.patch_embed.grid(&images));
        self.over(&views, vit, images, layers)
    }

    /// As `intermediate`, over given views, of which the first is the image itself.
    pub fn over(
        &self,
        views: &[View],
        vit: &Vit,
        images: Tensor<4>,
        layers: &[usize],
    ) -> Vec<Tensor<3>> {
        let (prefix, grid) = (vit.prefix_tokens(), vit.patch_embed.grid(&images));
        let [batch, _, height, _] = images.dims();
        let [rows, columns] = grid;
        let side = height / rows;
        let own = vit.intermediate(images.clone(), layers);
        let mut counts = vec![1.0_f32; rows * columns];
        let mut sums: Vec<Tensor<4>> = own
            .iter()
            .map(|tokens| {
                let dim = tokens.dims()[2];
                let patches = tokens.clone().narrow(1, prefix, rows * columns);
                patches.reshape([batch, rows, columns, dim])
            })
            .collect();
        for view in &views[1..] {
            for (count, seen) in counts.iter_mut().zip(visible(view, grid)) {
                *count += f32::from(u8::from(seen));
            }
            let seen = vit.intermediate(self.moved(images.clone(), view, side), layers);
            for (sum, tokens) in sums.iter_mut().zip(seen) {
                let dim = tokens.dims()[2];
                let patches = tokens.narrow(1, prefix, rows * columns);
                *sum = sum.clone() + back(patches.reshape([batch, rows, columns, dim]), view);
            }
        }
        let counts = TensorData::new(counts, [1, rows * columns, 1]);
        let counts = Tensor::<3>::from_data(counts, &images.device());
        own.into_iter()
            .zip(sums)
            .map(|(tokens, sum)| {
                on_patches(tokens, prefix, |patches| sum.reshape(patches.dims()) / counts.clone())
            })
            .collect()
    }

    /// The view of images, `[B, 3, H, W]`, whose patches are `side` pixels wide.
    fn moved(&self, images: Tensor<4>, view: &View, side: usize) -> Tensor<4> {
        let fill = TensorData::new(self.fill.to_vec(), [1, 3, 1, 1]);
        let fill = Tensor::from_data(fill, &images.device());
        let [down, right] = view.shift.map(|patches| patches * side as i32);
        let moved = shifted(shifted(images, 2, down, &fill), 3, right, &fill);
        if view.flip { moved.flip([3]) } else { moved }
    }
}

/// The features of a view `[B, h, w, D]` at the places that their content has in the image;
/// zero where it shows none.
fn back(features: Tensor<4>, view: &View) -> Tensor<4> {
    let features = if view.flip { features.flip([2]) } else { features };
    let nothing = Tensor::zeros([1, 1, 1, 1], &features.device());
    let [rows, columns] = view.shift.map(|shift| -shift);
    shifted(shifted(features, 1, rows, &nothing), 2, columns, &nothing)
}

/// Which patches of the image a view shows, in the patches' order.
fn visible(view: &View, [rows, columns]: [usize; 2]) -> impl Iterator<Item = bool> {
    let [down, right] = view.shift;
    let within =
        |at: usize, shift: i32, length: usize| (0..length as i32).contains(&(at as i32 - shift));
    (0..rows).flat_map(move |row| {
        (0..columns).map(move |column| within(row, down, rows) && within(column, right, columns))
    })
}

/// `x` moved by `shift` towards the start of a dimension; `fill` comes in at the end.
fn shifted(x: Tensor<4>, dimension: usize, shift: i32, fill: &Tensor<4>) -> Tensor<4> {
    let mut shape = x.dims();
    let length = shape[dimension];
    let gone = (shift.unsigned_abs() as usize).min(length);
    if gone == 0 {
        return x;
    }
    shape[dimension] = gone;
    let fill = fill.clone().expand(shape);
    if gone == length {
        return fill;
    }
    let start = if shift > 0 { gone } else { 0 };
    let kept = x.narrow(dimension, start, length - gone);
    let parts = if shift > 0 { vec![kept, fill] } else { vec![fill, kept] };
    Tensor::cat(parts, dimension)
}
