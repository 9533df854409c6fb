//! Principal components of patch features, over all images of a set, and their colours.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

use super::PatchFeatures;
use crate::error::{Error, Result};
use crate::statistics::{quantile, sorted};

/// Mean and leading components of features.
///
/// Each component's entry of largest magnitude is positive, as in scikit-learn, so that equal
/// features give equal colours.
#[derive(Debug, Clone)]
pub struct Pca {
    /// The features' mean, `[D]`.
    pub mean: Vec<f64>,
    /// Orthonormal, the largest variance first: `[K, D]`.
    pub components: Vec<Vec<f64>>,
    /// The variance along each, with n − 1 in the denominator.
    pub variances: Vec<f64>,
}

impl Pca {
    /// The leading `count` components of the patches of all images, of those alone that `keep`
    /// (by image and patch) holds where it is given. The covariance is summed image by image in
    /// f64: memory holds `[D, D]` and one image.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two patches or more components than D; those of reading.
    pub fn fit(
        features: &dyn PatchFeatures,
        count: usize,
        keep: Option<&[Vec<bool>]>,
    ) -> Result<Self> {
        let dim = features.dim();
        if count == 0 || count > dim {
            let expected = format!("features of width {dim} have 1 to {dim}");
            return Err(Error::setting("components", count, expected));
        }
        let mut sums = Sums::new(dim);
        for image in 0..features.grids().len() {
            sums.add(&features.read(image)?, keep.map(|keep| &keep[image][..]));
        }
        sums.components(count)
    }

    /// Features along the components: `[P, D]` to `[P, K]`, both row-major.
    pub fn project(&self, features: &[f32]) -> Vec<f32> {
        let rows = features.chunks_exact(self.mean.len());
        rows.flat_map(|row| self.components.iter().map(|component| self.along(row, component)))
            .collect()
    }

    fn along(&self, row: &[f32], component: &[f64]) -> f32 {
        let terms = row.iter().zip(&self.mean).zip(component);
        terms.map(|((value, mean), part)| (f64::from(*value) - mean) * part).sum::<f64>() as f32
    }
}

/// Sums over vectors, from which their covariance follows. They are taken about the first
/// vector, so that a large mean costs no digits.
struct Sums {
    count: f64,
    origin: Vec<f64>,
    sum: Vec<f64>,
    products: Mat<f64>,
}

/// Vectors whose products are added at once.
const ROWS: usize = 4096;

impl Sums {
    fn new(dim: usize) -> Self {
        Self { count: 0.0, origin: Vec::new(), sum: vec![0.0; dim], products: Mat::zeros(dim, dim) }
    }

    fn add(&mut self, features: &[f32], keep: Option<&[bool]>) {
        let dim = self.sum.len();
        let rows = features.chunks_exact(dim).enumerate();
        let kept = rows.filter(|(patch, _)| keep.is_none_or(|keep| keep[*patch]));
        let mut values: Vec<f64> = Vec::new();
        for (_, row) in kept {
            if self.origin.is_empty() {
                self.origin = row.iter().map(|value| f64::from(*value)).collect();
            }
            self.count += 1.0;
            for ((value, origin), sum) in row.iter().zip(&self.origin).zip(&mut self.sum) {
                let value = f64::from(*value) - origin;
                values.push(value);
                *sum += value;
            }
            if values.len() >= ROWS * dim {
                self.add_products(&values);
                values.clear();
            }
        }
        self.add_products(&values);
    }

    fn add_products(&mut self, values: &[f64]) {
        let dim = self.sum.len();
        let rows = MatRef::from_row_major_slice(values, values.len() / dim, dim);
        matmul(self.products.as_mut(), Accum::Add, rows.transpose(), rows, 1.0, Par::Seq);
    }

    fn components(&self, count: usize) -> Result<Pca> {
        if self.count < 2.0 {
            let expected = "principal components need at least two";
            return Err(Error::setting("patches", self.count, expected));
        }
        let (dim, n) = (self.sum.len(), self.count);
        let covariance = Mat::from_fn(dim, dim, |i, j| {
            (self.products[(i, j)] - self.sum[i] * self.sum[j] / n) / (n - 1.0)
        });
        let found = covariance
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| Error::shape("patch features", "their covariance has no eigenvalues"))?;
        let (values, vectors) = (found.S().column_vector(), found.U());
        // faer sorts them ascending.
        let order = (0..dim).rev().take(count);
        Ok(Pca {
            mean: self.origin.iter().zip(&self.sum).map(|(origin, sum)| origin + sum / n).collect(),
            variances: order.clone().map(|k| values[k].max(0.0)).collect(),
            components: order.map(|k| signed(vectors.col(k).iter().copied().collect())).collect(),
        })
    }
}

/// With its entry of largest magnitude (the first of equal ones) positive.
fn signed(mut vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().rev().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
    if largest.is_some_and(|value| value < 0.0) {
        vector.iter_mut().for_each(|value| *value = -*value);
    }
    vector
}

/// Three principal components as red, green and blue, in one scale for all images.
///
/// See figure 1 of DINOv2, <https://arxiv.org/abs/2304.07193>: with a threshold, patches whose
/// first component lies below it are background, and the components are those of the others.
#[derive(Debug, Clone)]
pub struct PcaColours {
    /// What gives the colours.
    pub pca: Pca,
    /// Whether each patch is in the foreground, by image; `None` without a threshold.
    pub foreground: Option<Vec<Vec<bool>>>,
    /// The scores that are 0 and 1 in each colour: their 1 % and 99 % quantiles.
    pub range: [[f32; 2]; 3],
}

impl PcaColours {
    /// Colours of the patches of all images. `threshold` is in standard deviations of the first
    /// component; DINOv2's figure has 0. The foreground is the side of which less lies along the
    /// images' edges.
    ///
    /// # Errors
    /// Those of [`Pca::fit`]; [`Error::Setting`] where fewer than four patches lie above the
    /// threshold, or it is no number.
    pub fn fit(features: &dyn PatchFeatures, threshold: Option<f64>) -> Result<Self> {
        let foreground = threshold.map(|value| foreground(features, value)).transpose()?;
        let pca = Pca::fit(features, 3, foreground.as_deref())?;
        let mut colours = Self { pca, foreground, range: [[0.0, 1.0]; 3] };
        colours.range = range(&colours.scores(features)?);
        Ok(colours)
    }

    /// Scores along the components by image, NaN for the background: `[P, 3]` of each. Features
    /// of another model must lie in the same space.
    ///
    /// # Errors
    /// [`Error::Shape`] for features of another width or other images; those of reading.
    pub fn scores(&self, features: &dyn PatchFeatures) -> Result<Vec<Vec<[f32; 3]>>> {
        let dim = self.pca.mean.len();
        let masked = self.foreground.as_ref();
        if features.dim() != dim || masked.is_some_and(|all| all.len() != features.grids().len()) {
            let reason = format!("the components are of width {dim}, and these {}", features.dim());
            return Err(Error::shape("patch features", reason));
        }
        let of_image = |image: usize| {
            let scores = self.pca.project(&features.read(image)?);
            let mut scores = scores.as_chunks().0.to_vec();
            if let Some(masks) = masked {
                hide(&mut scores, &masks[image]);
            }
            Ok(scores)
        };
        (0..features.grids().len()).map(of_image).collect()
    }

    /// Red, green and blue by image, 0 to 1, NaN for the background: `[P, 3]` of each.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn colours(&self, features: &dyn PatchFeatures) -> Result<Vec<Vec<[f32; 3]>>> {
        Ok(coloured(self.scores(features)?, self.range))
    }

    /// Colours of another model's features, whose space has no map to this one: their own three
    /// components, scaled to unit variance and turned (orthogonal Procrustes) so that they match
    /// the scores of `own` best, the features that these colours were made from.
    ///
    /// # Errors
    /// Those of [`Pca::fit`]; [`Error::Shape`] for other images.
    pub fn turned_colours(
        &self,
        own: &dyn PatchFeatures,
        other: &dyn PatchFeatures,
    ) -> Result<Vec<Vec<[f32; 3]>>> {
        if own.grids() != other.grids() {
            return Err(Error::shape("patch features", "they are of other images"));
        }
        let pca = Pca::fit(other, 3, self.foreground.as_deref())?;
        let theirs = Self { pca, foreground: self.foreground.clone(), range: self.range };
        let unit = |of: &Self, features| -> Result<Vec<Vec<[f32; 3]>>> {
            let mut scores = of.scores(features)?;
            let scale: Vec<f32> = of
                .pca
                .variances
                .iter()
                .map(|variance| variance.sqrt().max(f64::MIN_POSITIVE).recip() as f32)
                .collect();
            for score in scores.iter_mut().flatten() {
                score.iter_mut().zip(&scale).for_each(|(value, scale)| *value *= scale);
            }
            Ok(scores)
        };
        let (wanted, mut scores) = (unit(self, own)?, unit(&theirs, other)?);
        let mut product = Mat::<f64>::zeros(3, 3);
        for (wanted, score) in wanted.iter().flatten().zip(scores.iter().flatten()) {
            if score.iter().chain(wanted).all(|value| value.is_finite()) {
                for (i, score) in score.iter().enumerate() {
                    for (j, wanted) in wanted.iter().enumerate() {
                        product[(i, j)] += f64::from(*score) * f64::from(*wanted);
                    }
                }
            }
        }
        let found = product
            .svd()
            .map_err(|_| Error::shape("patch features", "their scores cannot be matched"))?;
        let turn = found.U() * found.V().transpose();
        for score in scores.iter_mut().flatten() {
            let old = *score;
            *score = std::array::from_fn(|j| {
                (0..3).map(|i| f64::from(old[i]) * turn[(i, j)]).sum::<f64>() as f32
            });
        }
        let range = range(&scores);
        Ok(coloured(scores, range))
    }
}

/// Whether each patch lies on the foreground's side of the threshold.
fn foreground(features: &dyn PatchFeatures, threshold: f64) -> Result<Vec<Vec<bool>>> {
    if !threshold.is_finite() {
        return Err(Error::setting("foreground", threshold, "it must be a number"));
    }
    let pca = Pca::fit(features, 1, None)?;
    let images = 0..features.grids().len();
    let scores = images.map(|image| Ok(pca.project(&features.read(image)?)));
    let scores = scores.collect::<Result<Vec<Vec<f32>>>>()?;
    let (mut edge, mut count) = (0.0, 0.0);
    for (scores, &[rows, columns]) in scores.iter().zip(features.grids()) {
        for (patch, score) in scores.iter().enumerate() {
            let (row, column) = (patch / columns, patch % columns);
            if row == 0 || column == 0 || row + 1 == rows || column + 1 == columns {
                edge += f64::from(*score);
                count += 1.0;
            }
        }
    }
    // Scores have mean 0: a positive sum along the edges means a negative one inside.
    let side = if edge / f64::max(count, 1.0) > 0.0 { -1.0 } else { 1.0 };
    let bound = threshold * pca.variances[0].sqrt();
    let above = |score: &f32| f64::from(*score) * side > bound;
    let masks: Vec<Vec<bool>> =
        scores.iter().map(|scores| scores.iter().map(above).collect()).collect();
    let kept = masks.iter().flatten().filter(|&&kept| kept).count();
    if kept < 4 {
        let expected = format!("it leaves {kept} of {} patches", features.patches());
        return Err(Error::setting("foreground", threshold, expected));
    }
    Ok(masks)
}

fn hide(scores: &mut [[f32; 3]], foreground: &[bool]) {
    for (score, _) in scores.iter_mut().zip(foreground).filter(|(_, kept)| !**kept) {
        *score = [f32::NAN; 3];
    }
}

/// The 1 % and 99 % quantiles of the finite scores, so that single outliers do not take the
/// colours of all others.
fn range(scores: &[Vec<[f32; 3]>]) -> [[f32; 2]; 3] {
    std::array::from_fn(|channel| {
        let values = scores.iter().flatten().map(|score| score[channel]);
        let values = sorted(&values.filter(|value| value.is_finite()).collect::<Vec<_>>());
        [quantile(&values, 0.01), quantile(&values, 0.99)]
    })
}

fn coloured(mut scores: Vec<Vec<[f32; 3]>>, range: [[f32; 2]; 3]) -> Vec<Vec<[f32; 3]>> {
    for (value, [low, high]) in
        scores.iter_mut().flatten().flat_map(|score| score.iter_mut().zip(range))
    {
        let share = if high > low { (*value - low) / (high - low) } else { 0.5 };
        *value = if value.is_finite() { share.clamp(0.0, 1.0) } else { f32::NAN };
    }
    scores
}
