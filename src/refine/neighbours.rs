use std::collections::BTreeMap;

use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::above;
use super::defect::defect_directions;
use crate::error::Result;
use crate::tokens::{on_patches, patch_norms, quantile};
use crate::vit::Vit;

/// Which patches are outliers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// Those whose norm is more than `factor` times the median of their image's.
    Norm {
        /// Above 1.
        factor: f64,
    },
    /// Those whose |cosine| to the defect direction is more than `deviations` standard
    /// deviations above their image's mean, patches on the border apart (the authors'
    /// program, with 4). Of P patches k alike can at most be `√(P / k)` deviations away, so
    /// on small grids it finds none.
    Angle {
        /// Above 0.
        deviations: f64,
    },
}

/// Settings of [`Neighbours`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NeighbourSettings {
    /// The blocks after which outliers are replaced; empty for every block.
    pub layers: Vec<usize>,
    /// Which patches are outliers.
    pub outliers: Detection,
    /// Of the weights `exp(−|cos(x, d)| / temperature)`.
    pub temperature: f64,
}

impl Default for NeighbourSettings {
    fn default() -> Self {
        Self { layers: Vec::new(), outliers: Detection::Norm { factor: 2.0 }, temperature: 0.1 }
    }
}

impl NeighbourSettings {
    /// The settings with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self) -> Result<()> {
        above("neighbours.temperature", self.temperature, 0.0)?;
        match self.outliers {
            Detection::Norm { factor } => above("neighbours.factor", factor, 1.0),
            Detection::Angle { deviations } => above("neighbours.deviations", deviations, 0.0),
        }
    }
}

/// SINDER's target: an outlier patch becomes a mean over its 3×3 neighbourhood with Gaussian
/// weights (1 2 1, itself included) times `exp(−|cos(x, d)| / 0.1)`, where d is the
/// [defect direction](defect_directions) of the layer (Wang et al., ECCV 2024, arXiv
/// 2407.16826). Tokens that lie along d count for little.
///
/// The authors train the singular values of a model's weights towards this target; here the
/// target itself takes the place of the patch, and the next blocks read it. They leave
/// patches on the border as they are; here those have fewer neighbours. Class and register
/// tokens pass unchanged.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// d by layer, `[D]`, on the teacher's device.
    directions: BTreeMap<usize, Tensor<1>>,
    settings: NeighbourSettings,
}

impl Neighbours {
    /// The same for those that refine a teacher alike.
    pub(super) fn fingerprint(&self) -> String {
        // The directions follow from the teacher.
        format!("Neighbours {:?}", self.settings)
    }

    /// For a teacher; needs no images.
    ///
    /// # Errors
    /// [`Error::Setting`]; those of [`defect_directions`].
    pub fn new(vit: &Vit, settings: &NeighbourSettings) -> Result<Self> {
        let every: Vec<usize> = (0..vit.depth()).collect();
        let layers = if settings.layers.is_empty() { &every } else { &settings.layers };
        Self::along(defect_directions(vit, layers)?, settings, &vit.device())
    }

    /// With given directions d by layer, unit vectors `[D]`; those layers are treated.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn along(
        directions: BTreeMap<usize, Vec<f32>>,
        settings: &NeighbourSettings,
        device: &Device,
    ) -> Result<Self> {
        settings.check()?;
        let tensor = |(layer, direction): (usize, Vec<f32>)| {
            let width = direction.len();
            (layer, Tensor::from_data(TensorData::new(direction, [width]), device))
        };
        let directions = directions.into_iter().map(tensor).collect();
        Ok(Self { directions, settings: settings.clone() })
    }

    /// Replaces the outliers among the tokens leaving a layer, `[B, T, D] -> [B, T, D]`; the
    /// patches are the last of them and fill a `grid` of rows and columns. Tokens of layers
    /// that are not [treated](NeighbourSettings::layers) stay as they are.
    ///
    /// # Panics
    /// Where the patches do not fill the grid.
    pub fn treat(
        &self,
        layer: usize,
        tokens: Tensor<3>,
        prefix: usize,
        grid: [usize; 2],
    ) -> Tensor<3> {
        let Some(direction) = self.directions.get(&layer) else { return tokens };
        let norms = patch_norms(tokens.clone(), prefix);
        on_patches(tokens, prefix, |patches| {
            let shape = patches.dims();
            let along = (patches.clone() * direction.clone().unsqueeze::<3>()).sum_dim(2);
            let alignment = along.squeeze_dim::<2>(2).abs() / norms.clone();
            let outliers = self.outliers(&norms, &alignment, grid);
            let mean = self.neighbourhood(patches.clone(), alignment, grid);
            patches.mask_where(outliers.unsqueeze_dim::<3>(2).expand(shape), mean)
        })
    }

    /// The tokens leaving `layers`, `[B, 3, H, W]` to `[B, T, D]` each; every block reads
    /// treated tokens.
    pub fn intermediate(&self, vit: &Vit, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        let (prefix, grid) = (vit.prefix_tokens(), vit.patch_embed.grid(&images));
        vit.intermediate_changed(images, layers, |layer, tokens| {
            self.treat(layer, tokens, prefix, grid)
        })
    }

    /// From norms and |cosines| to d, `[B, P]` each.
    fn outliers(
        &self,
        norms: &Tensor<2>,
        alignment: &Tensor<2>,
        [rows, columns]: [usize; 2],
    ) -> Tensor<2, Bool> {
        let shape = norms.dims();
        match self.settings.outliers {
            Detection::Norm { factor } => {
                let limit = quantile(norms.clone(), 0.5) * factor;
                norms.clone().greater(limit.expand(shape))
            }
            Detection::Angle { deviations } => {
                let mean = alignment.clone().mean_dim(1);
                let variance = alignment.clone().var(1);
                let limit = mean + variance.sqrt() * deviations;
                let inner = (0..rows).flat_map(|row| {
                    (0..columns).map(move |column| {
                        (1..rows - 1).contains(&row) && (1..columns - 1).contains(&column)
                    })
                });
                let inner = TensorData::new(inner.collect::<Vec<_>>(), [1, shape[1]]);
                let inner = Tensor::<2, Bool>::from_data(inner, &norms.device()).expand(shape);
                alignment.clone().greater(limit.expand(shape)).bool_and(inner)
            }
        }
    }

    /// The weighted mean over every patch's neighbourhood, `[B, P, D]` and |cosines| `[B, P]`
    /// to `[B, P, D]`.
    fn neighbourhood(
        &self,
        patches: Tensor<3>,
        alignment: Tensor<2>,
        [rows, columns]: [usize; 2],
    ) -> Tensor<3> {
        let [batch, count, dim] = patches.dims();
        let weights = (alignment / -self.settings.temperature).exp();
        let weights = weights.reshape([batch, rows, columns, 1]);
        let weighted = patches.reshape([batch, rows, columns, dim]) * weights.clone();
        // The weights of the sum beside it: one filter for both.
        let padded = padded(padded(Tensor::cat(vec![weighted, weights], 3), 1), 2);
        let filtered = filtered(filtered(padded, 1), 2);
        let sum = filtered.clone().narrow(3, 0, dim);
        (sum / filtered.narrow(3, dim, 1)).reshape([batch, count, dim])
    }
}

/// With zeros on both ends of a dimension.
fn padded(x: Tensor<4>, dimension: usize) -> Tensor<4> {
    let mut shape = x.dims();
    shape[dimension] = 1;
    let zeros = Tensor::zeros(shape, &x.device());
    Tensor::cat(vec![zeros.clone(), x, zeros], dimension)
}

/// The Gaussian filter 1 2 1 along a dimension that is padded.
fn filtered(x: Tensor<4>, dimension: usize) -> Tensor<4> {
    let length = x.dims()[dimension] - 2;
    let [before, at, after] = [0, 1, 2].map(|start| x.clone().narrow(dimension, start, length));
    before + at * 2.0 + after
}
