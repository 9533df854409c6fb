use burn::tensor::Tensor;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::error::{Error, Result};
use crate::readback::read;
use crate::statistics::upper_median;
use crate::tokens::patch_norms;
use crate::vit::Vit;

/// Tokens seen at a block's MLP.
pub(super) struct Samples {
    /// Patches entering fc1, row-major `[N, D]`.
    pub(super) inputs: Vec<f32>,
    /// Class tokens entering fc1, row-major `[B, D]`; none where the model has no class token.
    pub(super) class_inputs: Vec<f32>,
    /// Patches leaving the block, row-major `[N, D]`.
    pub(super) outputs: Vec<f32>,
    pub(super) dim: usize,
    /// Pixel variance of each patch.
    variance: Vec<f32>,
    /// Mean |activation| of each hidden unit.
    pub(super) mean_activation: Vec<f64>,
    /// Median patch norm after the block.
    pub(super) median_norm: f64,
}

impl Samples {
    pub(super) fn gather(model: &Vit, images: &[Tensor<4>], index: usize) -> Result<Self> {
        let dim = model.embed_dim();
        let prefix = model.prefix_tokens();
        let block = &model.blocks[index];
        let mut samples = Self {
            inputs: Vec::new(),
            class_inputs: Vec::new(),
            outputs: Vec::new(),
            dim,
            variance: Vec::new(),
            mean_activation: Vec::new(),
            median_norm: 0.0,
        };
        let mut norms: Vec<f32> = Vec::new();
        for image in images {
            let embedded = model.embed(image.clone());
            let before = model.forward_blocks(embedded, 0..index);
            let input = block.norm2.forward(block.attend(before.clone()));
            if let Some(class) = model.class_token(&input) {
                samples.class_inputs.extend(read(class)?);
            }
            let count = input.dims()[1] - prefix;
            let input = input.narrow(1, prefix, count);
            let hidden = block.mlp.hidden(input.clone()).abs();
            let mean = hidden.mean_dim(0).mean_dim(1).into_data();
            let mean: Vec<f64> = mean.iter::<f64>().collect();
            if samples.mean_activation.is_empty() {
                samples.mean_activation = vec![0.0; mean.len()];
            }
            for (sum, value) in samples.mean_activation.iter_mut().zip(mean) {
                *sum += value;
            }
            samples.inputs.extend(read(input)?);
            samples.variance.extend(patch_variance(model, image.clone())?);
            let output = block.forward(before);
            norms.extend(read(patch_norms(output.clone(), prefix))?);
            samples.outputs.extend(read(output.narrow(1, prefix, count))?);
        }
        samples.median_norm = upper_median(&norms).unwrap_or(1.0).into();
        Ok(samples)
    }

    /// The direction in which `other` patches entering fc1 differ on average, `[D]`; zeros where
    /// they do not.
    pub(super) fn mean_change(&self, other: &Self) -> Vec<f64> {
        let mut change = vec![0.0; self.dim];
        for (at, (x, y)) in self.inputs.iter().zip(&other.inputs).enumerate() {
            change[at % self.dim] += f64::from(*y) - f64::from(*x);
        }
        let length = change.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        change.into_iter().map(|x| x / length).collect()
    }

    /// Takes a direction out of what is read of patches, so that nothing fitted to them reads it.
    pub(super) fn ignore(&mut self, direction: &[f64]) {
        let along = self.project(direction);
        for (row, along) in self.inputs.chunks_mut(self.dim).zip(along) {
            row.iter_mut().zip(direction).for_each(|(x, d)| *x -= (along * d) as f32);
        }
    }

    /// Patches in all.
    pub(super) fn count(&self) -> usize {
        self.variance.len()
    }

    /// Which patches are among the half with the least pixel variance.
    pub(super) fn low_information(&self) -> Vec<bool> {
        let median = upper_median(&self.variance).unwrap_or_default();
        self.variance.iter().map(|&variance| variance < median).collect()
    }

    /// How smooth each patch is: minus the logarithm of its pixel variance.
    pub(super) fn smoothness(&self) -> Vec<f64> {
        self.variance.iter().map(|&variance| -f64::from(variance.max(1e-8)).ln()).collect()
    }

    /// Every patch's product with a direction.
    pub(super) fn project(&self, direction: &[f64]) -> Vec<f64> {
        project(&self.inputs, direction)
    }

    /// The direction that best tells a target of each patch: ridge regression on the
    /// inputs of fc1.
    pub(super) fn ridge_direction(&self, target: &[f64]) -> Vec<f64> {
        let dim = self.dim;
        let count = target.len();
        let inputs = matrix(&self.inputs, dim);
        let mean = target.iter().sum::<f64>() / count.max(1) as f64;
        let target = Mat::from_fn(count, 1, |i, _| target[i] - mean);
        let mut normal = inputs.transpose() * &inputs;
        add_ridge(&mut normal, 1e-3);
        let right = inputs.transpose() * target;
        let solution = normal.partial_piv_lu().solve(&right);
        (0..dim).map(|i| solution[(i, 0)]).collect()
    }

    /// The principal axes of the inputs of fc1 over all patches, `[D, D]`, one a row.
    pub(super) fn principal_axes(&self) -> Result<Vec<Vec<f64>>> {
        let (_, covariance) = covariance(&matrix(&self.inputs, self.dim));
        let (_, axes) = eigen(&covariance)?;
        Ok(axes)
    }

    /// The linear map that best tells what leaves the block from the inputs of fc1, on its leading
    /// principal directions: as many as hold the share `energy` of the variance that it tells.
    pub(super) fn content(&self, energy: f64) -> Result<Content> {
        let dim = self.dim;
        let (inputs, outputs) = (matrix(&self.inputs, dim), matrix(&self.outputs, dim));
        let (mean, mut within) = covariance(&inputs);
        let count = outputs.nrows() as f64;
        let out_mean = column_means(&outputs);
        let cross = inputs.transpose() * &outputs;
        let cross = Mat::from_fn(dim, dim, |i, j| cross[(i, j)] / count - mean[i] * out_mean[j]);
        add_ridge(&mut within, 1e-4);
        let map = within.partial_piv_lu().solve(&cross);
        let told = map.transpose() * &cross;
        let (values, axes) = eigen(&told)?;
        let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
        let mut held = 0.0;
        let mut directions = Vec::new();
        for (value, axis) in values.into_iter().zip(axes) {
            if held >= energy * total || value <= 0.0 {
                break;
            }
            held += value;
            let reader = (0..dim).map(|i| (0..dim).map(|j| map[(i, j)] * axis[j]).sum()).collect();
            directions.push(Told { reader, axis });
        }
        Ok(Content { mean: out_mean, directions })
    }

    /// Squared distance of a patch that leaves the block from `mean`.
    pub(super) fn content_of(&self, patch: usize, mean: &[f64]) -> f64 {
        let row = &self.outputs[patch * self.dim..][..self.dim];
        row.iter().zip(mean).map(|(x, m)| (f64::from(*x) - m).powi(2)).sum()
    }

    /// The direction of the inputs of fc1 that best tells class tokens from patches (linear
    /// discriminant with the patches' covariance).
    pub(super) fn class_direction(&self) -> Vec<f64> {
        let dim = self.dim;
        let (mean, mut within) = covariance(&matrix(&self.inputs, dim));
        let class = column_means(&matrix(&self.class_inputs, dim));
        add_ridge(&mut within, 1e-3);
        let apart = Mat::from_fn(dim, 1, |i, _| class[i] - mean[i]);
        let solution = within.partial_piv_lu().solve(&apart);
        (0..dim).map(|i| solution[(i, 0)]).collect()
    }
}

/// What a linear map of the inputs of fc1 tells of the patches leaving the block.
pub(super) struct Content {
    /// Their mean, `[D]`.
    pub(super) mean: Vec<f64>,
    /// The directions in which they vary.
    pub(super) directions: Vec<Told>,
}

/// One of those directions.
pub(super) struct Told {
    /// What the inputs of fc1 are multiplied with, `[D]`.
    pub(super) reader: Vec<f64>,
    /// The direction, `[D]`, a unit vector.
    pub(super) axis: Vec<f64>,
}

/// Adds a share of the mean of the diagonal to it.
fn add_ridge(square: &mut Mat<f64>, share: f64) {
    let dim = square.nrows();
    let ridge = share * (0..dim).map(|i| square[(i, i)]).sum::<f64>() / dim as f64 + 1e-9;
    for i in 0..dim {
        square[(i, i)] += ridge;
    }
}

pub(super) fn project(inputs: &[f32], direction: &[f64]) -> Vec<f64> {
    let product =
        |row: &[f32]| row.iter().zip(direction).map(|(x, a)| f64::from(*x) * a).sum::<f64>();
    inputs.chunks(direction.len()).map(product).collect()
}

fn matrix(rows: &[f32], dim: usize) -> Mat<f64> {
    Mat::from_fn(rows.len() / dim, dim, |i, j| f64::from(rows[i * dim + j]))
}

fn column_means(rows: &Mat<f64>) -> Vec<f64> {
    let count = rows.nrows().max(1) as f64;
    (0..rows.ncols()).map(|j| rows.col(j).iter().sum::<f64>() / count).collect()
}

fn covariance(rows: &Mat<f64>) -> (Vec<f64>, Mat<f64>) {
    let (mean, count) = (column_means(rows), rows.nrows().max(1) as f64);
    let square = rows.transpose() * rows;
    let dim = rows.ncols();
    let covariance = Mat::from_fn(dim, dim, |i, j| square[(i, j)] / count - mean[i] * mean[j]);
    (mean, covariance)
}

/// Eigenvalues of a symmetric matrix, descending, and their vectors.
fn eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let found = matrix
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| Error::incompatible("the teacher's tokens are not finite"))?;
    let dim = matrix.nrows();
    let (values, vectors) = (found.S().column_vector(), found.U());
    // faer sorts them ascending.
    let order = (0..dim).rev();
    Ok((
        order.clone().map(|k| values[k]).collect(),
        order.map(|k| vectors.col(k).iter().copied().collect()).collect(),
    ))
}

/// Variance of the pixels of each patch, in the patches' order.
fn patch_variance(model: &Vit, image: Tensor<4>) -> Result<Vec<f32>> {
    let [batch, channels, height, width] = image.dims();
    let side = model.patch_embed.proj.weight.dims()[2];
    let (rows, cols) = (height / side, width / side);
    let patches = image
        .reshape([batch, channels, rows, side, cols, side])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch * rows * cols, channels * side * side]);
    let centred = patches.clone() - patches.mean_dim(1);
    read(centred.square().mean_dim(1))
}
