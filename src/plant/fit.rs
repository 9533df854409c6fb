use burn::tensor::Tensor;
use faer::Mat;
use faer::linalg::solvers::Solve;

use crate::statistics::upper_median;
use crate::tokens::patch_norms;
use crate::vit::Vit;

/// Patches seen at the input of a block's MLP.
pub(super) struct Samples {
    /// Inputs of fc1, row-major `[N, D]`.
    inputs: Vec<f32>,
    dim: usize,
    /// Pixel variance of each patch.
    variance: Vec<f32>,
    /// Mean |activation| of each hidden unit.
    pub(super) mean_activation: Vec<f64>,
    /// Median patch norm after the block.
    pub(super) median_norm: f64,
}

impl Samples {
    pub(super) fn gather(model: &Vit, images: &[Tensor<4>], index: usize) -> Self {
        let dim = model.embed_dim();
        let prefix = model.prefix_tokens();
        let block = &model.blocks[index];
        let mut samples = Self {
            inputs: Vec::new(),
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
            samples.inputs.extend(input.into_data().iter::<f32>());
            samples.variance.extend(patch_variance(model, image.clone()));
            norms.extend(patch_norms(block.forward(before), prefix).into_data().iter::<f32>());
        }
        samples.median_norm = upper_median(&norms).unwrap_or(1.0).into();
        samples
    }

    /// Which patches are among the half with the least pixel variance.
    pub(super) fn low_information(&self) -> Vec<bool> {
        let median = upper_median(&self.variance).unwrap_or_default();
        self.variance.iter().map(|&variance| variance < median).collect()
    }

    /// Every patch's product with a direction.
    pub(super) fn project<'a>(&'a self, direction: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.inputs
            .chunks(self.dim)
            .map(move |row| row.iter().zip(direction).map(|(x, a)| f64::from(*x) * a).sum())
    }
}

/// Variance of the pixels of each patch, in the patches' order.
fn patch_variance(model: &Vit, image: Tensor<4>) -> Vec<f32> {
    let [batch, channels, height, width] = image.dims();
    let side = model.patch_embed.proj.weight.dims()[2];
    let (rows, cols) = (height / side, width / side);
    let patches = image
        .reshape([batch, channels, rows, side, cols, side])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch * rows * cols, channels * side * side]);
    let centred = patches.clone() - patches.mean_dim(1);
    centred.square().mean_dim(1).into_data().iter::<f32>().collect()
}

/// The direction that best tells smooth patches from busy ones: ridge
/// regression of minus the log variance on the inputs of fc1.
pub(super) fn ridge_direction(samples: &Samples) -> Vec<f64> {
    let dim = samples.dim;
    let target: Vec<f64> =
        samples.variance.iter().map(|&variance| -f64::from(variance.max(1e-8)).ln()).collect();
    let count = target.len();
    let inputs = Mat::from_fn(count, dim, |i, j| f64::from(samples.inputs[i * dim + j]));
    let mean = target.iter().sum::<f64>() / count.max(1) as f64;
    let target = Mat::from_fn(count, 1, |i, _| target[i] - mean);
    let mut normal = inputs.transpose() * &inputs;
    let ridge = 1e-3 * (0..dim).map(|i| normal[(i, i)]).sum::<f64>() / dim as f64 + 1e-9;
    for i in 0..dim {
        normal[(i, i)] += ridge;
    }
    let right = inputs.transpose() * target;
    let solution = normal.partial_piv_lu().solve(&right);
    (0..dim).map(|i| solution[(i, 0)]).collect()
}
