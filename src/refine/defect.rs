//! The singular defect: the direction towards which a teacher's linearised blocks turn every
//! token (SINDER, Wang et al., ECCV 2024, arXiv 2407.16826).

use std::collections::BTreeMap;
use std::f64::consts::{PI, SQRT_2};

use burn::module::Param;
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use faer::Mat;
use statrs::function::erf::erfc;

use super::nullspace::left_singular;
use crate::error::{Error, Result};
use crate::vit::{Activation, Block, Vit};

/// The defect directions d of a teacher after each of `layers`, unit vectors `[D]` by layer:
/// d is the leading left singular vector of the product of the linearised blocks up to and
/// including that one. They follow from the weights alone.
///
/// As in the authors' program a block is `(I + B)(I + A)`. `A` is LayerScale, projection,
/// values and the LayerNorm's gains in turn, on centred tokens, so that attention mixes no
/// tokens. `B` is LayerScale, `fc2`, and the least-squares fit of what enters `fc2` on normal
/// inputs, with the gains of its LayerNorm, on centred tokens. The program draws 100,000
/// inputs for the fit; its limit is computed here by Stein's lemma.
///
/// # Errors
/// [`Error::Incompatible`] for a model with a LayerNorm within its attention or MLP, for which
/// the authors state no linearisation; [`Error::Layer`] for a layer that it lacks;
/// [`Error::Svd`] where weights are not finite.
pub fn defect_directions(vit: &Vit, layers: &[usize]) -> Result<BTreeMap<usize, Vec<f32>>> {
    let last = vit.depth() - 1;
    if let Some(&layer) = layers.iter().find(|&&layer| layer > last) {
        return Err(Error::Layer { setting: "layers", layer, last });
    }
    let dim = vit.embed_dim();
    let mut product: Mat<f64> = Mat::identity(dim, dim);
    let mut directions = BTreeMap::new();
    let until = layers.iter().max().map_or(0, |&last| last + 1);
    for (layer, block) in vit.blocks[..until].iter().enumerate() {
        if block.attn.norm.is_some() || block.mlp.norm.is_some() {
            return Err(Error::incompatible(format!(
                "block {layer} has a LayerNorm within its attention or MLP, for which the singular defect is not defined"
            )));
        }
        product = mlp(block) * (attention(block) * product);
        // Singular vectors do not depend on the scale, which would grow block by block.
        let size = product.norm_l2();
        product /= faer::Scale(size);
        if layers.contains(&layer) {
            let (left, _) = left_singular(product.as_ref()).ok_or(Error::Svd(layer))?;
            directions.insert(layer, (0..dim).map(|i| left[(i, 0)] as f32).collect());
        }
    }
    Ok(directions)
}

/// `I + A`, out × in.
fn attention(block: &Block) -> Mat<f64> {
    let dim = block.attn.proj.weight.dims()[0];
    let projection = weight(&block.attn.proj.weight);
    let qkv = weight(&block.attn.qkv.weight);
    let values = qkv.subrows(2 * dim, dim);
    on_normed(projection * values, block.attention_gain(), &block.norm1)
}

/// `I + B`, out × in.
fn mlp(block: &Block) -> Mat<f64> {
    let last = weight(&block.mlp.fc2.weight);
    on_normed(last * fitted_hidden(block), block.mlp_gain(), &block.norm2)
}

/// `I + diag(gain) M diag(γ) (I − 1 1ᵀ / D)`.
fn on_normed(mut branch: Mat<f64>, gain: Option<Tensor<1>>, norm: &LayerNorm) -> Mat<f64> {
    let dim = branch.nrows();
    let gamma = host(norm.gamma.val());
    let gain = gain.map_or_else(|| vec![1.0; dim], host);
    for row in 0..dim {
        let scaled = (0..dim).map(|column| gain[row] * branch[(row, column)] * gamma[column]);
        let scaled: Vec<f64> = scaled.collect();
        let mean = scaled.iter().sum::<f64>() / dim as f64;
        for (column, value) in scaled.into_iter().enumerate() {
            branch[(row, column)] = value - mean + f64::from(u8::from(row == column));
        }
    }
    branch
}

/// The matrix `[hidden, D]` with which `x ↦ hidden(x)` is best fitted, in the mean square, over
/// standard normal x: row j is `E[x hidden_j(x)]`, which is `E[∇ hidden_j]` by Stein's lemma.
fn fitted_hidden(block: &Block) -> Mat<f64> {
    let fc1 = weight(&block.mlp.fc1.weight);
    let biases = block.mlp.fc1.bias.as_ref().map(|bias| host(bias.val()));
    let biases = biases.unwrap_or_else(|| vec![0.0; fc1.nrows()]);
    let activation = block.mlp.activation();
    let product = |a: usize, b: usize| (fc1.row(a) * fc1.row(b).transpose()).max(0.0);
    if !activation.is_gated() {
        let slope = |unit: usize| {
            Moments::of(activation, biases[unit], product(unit, unit).sqrt()).mean_slope
        };
        let slopes: Vec<f64> = (0..fc1.nrows()).map(slope).collect();
        return Mat::from_fn(fc1.nrows(), fc1.ncols(), |i, j| slopes[i] * fc1[(i, j)]);
    }
    // hidden = silu(gate) value, both normal and correlated.
    let hidden = fc1.nrows() / 2;
    let weights = |unit: usize| {
        let (gate, value) = (unit, unit + hidden);
        let spread = product(gate, gate).sqrt();
        let silu = Moments::of(activation, biases[gate], spread);
        let correlation = fc1.row(gate) * fc1.row(value).transpose();
        let along = correlation / spread.powi(2).max(f64::MIN_POSITIVE);
        [biases[value] * silu.mean_slope + along * silu.slope_times_change, silu.mean]
    };
    let weights: Vec<[f64; 2]> = (0..hidden).map(weights).collect();
    Mat::from_fn(hidden, fc1.ncols(), |i, j| {
        let [gate, value] = weights[i];
        gate * fc1[(i, j)] + value * fc1[(i + hidden, j)]
    })
}

/// Expectations of an activation f of `z = bias + spread t`, t standard normal.
struct Moments {
    /// `E[f(z)]`.
    mean: f64,
    /// `E[f'(z)]`.
    mean_slope: f64,
    /// `E[f'(z) (z − bias)]`.
    slope_times_change: f64,
}

impl Moments {
    fn of(activation: Activation, bias: f64, spread: f64) -> Self {
        /// Of the trapezoidal rule, whose error falls exponentially for smooth functions.
        const STEP: f64 = 1.0 / 16.0;
        const STEPS: i32 = 9 * 16;
        let spread = spread.max(1e-6);
        let mut moments = Self { mean: 0.0, mean_slope: 0.0, slope_times_change: 0.0 };
        for step in -STEPS..=STEPS {
            let t = f64::from(step) * STEP;
            let weight = STEP * (-t * t / 2.0).exp() / (2.0 * PI).sqrt();
            let value = weight * activate(activation, bias + spread * t);
            moments.mean += value;
            // E[t f] = spread E[f'], E[(t² − 1) f] = spread E[t f'].
            moments.mean_slope += t * value / spread;
            moments.slope_times_change += (t * t - 1.0) * value;
        }
        moments
    }
}

/// The activation; that of the gate for a SwiGLU.
fn activate(activation: Activation, z: f64) -> f64 {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    match activation {
        Activation::Gelu => 0.5 * z * erfc(-z / SQRT_2),
        Activation::GeluTanh => z * sigmoid(2.0 * (2.0 / PI).sqrt() * (z + 0.044715 * z.powi(3))),
        Activation::QuickGelu => z * sigmoid(1.702 * z),
        Activation::Swiglu => z * sigmoid(z),
    }
}

/// A matrix that burn stores as `[in, out]`, as out × in.
fn weight(weight: &Param<Tensor<2>>) -> Mat<f64> {
    let [rows, columns] = weight.dims();
    let values: Vec<f64> = weight.val().into_data().iter::<f64>().collect();
    Mat::from_fn(columns, rows, |i, j| values[j * columns + i])
}

fn host(vector: Tensor<1>) -> Vec<f64> {
    vector.into_data().iter::<f64>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_equal_the_closed_form_for_gelu() {
        // E[gelu'(z)] = Φ(m) + b φ(m) / (1 + s²)^{3/2}, m = b / √(1 + s²).
        for (bias, spread) in [(0.0, 1.0), (-1.3, 0.4), (2.0, 5.0), (0.7, 1e-9)] {
            let scale = f64::sqrt(1.0 + spread * spread);
            let at: f64 = bias / scale;
            let density = (-at * at / 2.0).exp() / (2.0 * PI).sqrt();
            let expected = 0.5 * erfc(-at / SQRT_2) + bias * density / scale.powi(3);
            let found = Moments::of(Activation::Gelu, bias, spread).mean_slope;
            assert!((found - expected).abs() < 1e-9, "{bias} {spread}: {found} {expected}");
        }
    }
}
