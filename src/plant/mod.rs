//! Planting artifacts of known place and strength into a clean teacher.
//!
//! This imitates the natural mechanism, in which a few hidden units of an MLP write a
//! large constant vector into the residual stream of low-information patches: one hidden
//! unit is given weights that do the same.

mod fit;
mod silence;

use burn::tensor::{Device, Tensor, TensorData, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use crate::vit::Vit;
use fit::{Samples, ridge_direction};

pub use silence::silence;

/// Direction of the planted vector relative to the next block's left nullspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In the span of the basis: the linearised next block hardly reads it.
    Inside,
    /// Half in the span, half orthogonal to it.
    Mixed,
    /// Orthogonal to the span.
    Outside,
}

/// What to plant, and where.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PlantSettings {
    /// The block whose MLP writes the vector.
    pub block: usize,
    /// Norm of the vector, in multiples of the median patch norm after that block.
    pub strength: f64,
    /// Share of all patches that receive the vector, between 0 and 0.5.
    pub share: f64,
    /// Direction of the vector.
    pub placement: Placement,
    /// Rank of the basis that `placement` refers to.
    pub rank: usize,
    /// Seed of the direction.
    pub seed: u64,
}

/// What was planted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planted {
    /// The hidden unit that now writes the vector.
    pub hidden_unit: usize,
    /// Norm of the vector at the unit's mean activation where it fires.
    pub norm: f64,
    /// Share of the fitted patches on which it fires.
    pub fires_on: f64,
    /// Share of firing patches that are among the low-information half.
    pub precision: f64,
}

/// Pre-activation where the unit fires: GELU is linear there to 1e-4 (QuickGELU
/// to 1e-3).
const FIRING: f64 = 4.0;

/// Plants artifacts. On which patches the unit fires is fitted to `images`, batches
/// `[B, 3, H, W]` on the model's device (without autodiff).
///
/// # Errors
/// [`Error::Setting`]; [`Error::Incompatible`] for a gated MLP and for a LayerScale that is
/// zero in places; [`Error::NoImages`] where there are fewer than two patches in all;
/// [`Error::Svd`].
pub fn plant(model: Vit, images: &[Tensor<4>], settings: &PlantSettings) -> Result<(Vit, Planted)> {
    let PlantSettings { block: index, strength, share, rank, seed, .. } = *settings;
    if index >= model.depth() {
        return Err(no_such_block(index, model.depth()));
    }
    if model.blocks[index].mlp.activation().is_gated() {
        return Err(Error::incompatible(format!(
            "block {index} has a gated MLP, in which no single hidden unit can be made to write a constant vector; plant into a model with a plain MLP"
        )));
    }
    if !(share > 0.0 && share < 0.5) {
        return Err(Error::setting("share", share, "it must lie between 0 and 0.5"));
    }
    if !(strength.is_finite() && strength > 0.0) {
        return Err(Error::setting("strength", strength, "it must be above 0"));
    }
    let device = model.device();
    let samples = Samples::gather(&model, images, index);
    let unit = least_used_unit(&model, &samples, index);

    let direction = ridge_direction(&samples);
    let scores: Vec<f64> = samples.project(&direction).collect();
    if scores.len() < 2 {
        return Err(Error::NoImages);
    }
    let low = samples.low_information();
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    let firing = ((scores.len() as f64 * share).round() as usize).clamp(1, scores.len() - 1);
    let top = &sorted[sorted.len() - firing..];
    let threshold = sorted[sorted.len() - firing - 1];
    let mean = top.iter().sum::<f64>() / firing as f64;
    let gain = FIRING / (mean - threshold).max(1e-9);

    let reader = next_block(index, model.depth());
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed };
    let basis = Basis::select(&Linearised::of(&model.blocks[reader]), &selection, reader)?;
    let vector = place(&basis, settings);
    let norm = strength * samples.median_norm;

    let row: Vec<f32> = direction.iter().map(|a| (a * gain) as f32).collect();
    let column: Vec<f32> = vector
        .iter()
        .zip(gain_of(&model, index)?)
        .map(|(u, g)| (u * norm / FIRING / g) as f32)
        .collect();
    let bias = (-threshold * gain) as f32;
    let model = rewrite(model, index, unit, row, bias, column, &device);

    let fired: Vec<usize> = (0..scores.len()).filter(|&patch| scores[patch] > threshold).collect();
    let hits = fired.iter().filter(|&&patch| low[patch]).count();
    let planted = Planted {
        hidden_unit: unit,
        norm,
        fires_on: fired.len() as f64 / scores.len() as f64,
        precision: hits as f64 / fired.len().max(1) as f64,
    };
    Ok((model, planted))
}

fn no_such_block(block: usize, depth: usize) -> Error {
    Error::setting("block", block, format!("the model's blocks are 0 to {}", depth - 1))
}

/// LayerScale's gain on what the block's MLP writes; ones where there is none.
fn gain_of(model: &Vit, index: usize) -> Result<Vec<f64>> {
    let Some(gain) = model.blocks[index].mlp_gain() else {
        return Ok(vec![1.0; model.embed_dim()]);
    };
    let gain: Vec<f64> = gain.into_data().iter::<f64>().collect();
    match gain.contains(&0.0) {
        true => Err(Error::incompatible(format!(
            "block {index}'s LayerScale is zero in places, so its MLP cannot write there; plant into another block"
        ))),
        false => Ok(gain),
    }
}

/// The unit with the least mean |activation| times the norm of its output.
fn least_used_unit(model: &Vit, samples: &Samples, index: usize) -> usize {
    let weight = model.blocks[index].mlp.fc2.weight.val();
    let [hidden, dim] = weight.dims();
    let weight: Vec<f32> = weight.into_data().iter::<f32>().collect();
    let size = |unit: usize| {
        let norm: f32 = weight[unit * dim..(unit + 1) * dim].iter().map(|w| w * w).sum();
        f64::from(norm.sqrt()) * samples.mean_activation[unit]
    };
    (0..hidden).min_by(|&a, &b| size(a).total_cmp(&size(b))).unwrap_or(0)
}

/// A unit vector as `placement` asks for.
fn place(basis: &Basis, settings: &PlantSettings) -> Vec<f64> {
    let (dim, rank, vectors) = (basis.dim(), basis.rank(), basis.to_rows());
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let random: Vec<f64> = (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect();
    let along: Vec<f64> =
        (0..rank).map(|k| (0..dim).map(|i| vectors[i * rank + k] * random[i]).sum()).collect();
    let inside: Vec<f64> =
        (0..dim).map(|i| (0..rank).map(|k| vectors[i * rank + k] * along[k]).sum()).collect();
    let outside: Vec<f64> = random.iter().zip(&inside).map(|(r, n)| r - n).collect();
    let (inside, outside) = (unit(inside), unit(outside));
    match settings.placement {
        Placement::Inside => inside,
        Placement::Outside => outside,
        Placement::Mixed => unit(inside.iter().zip(&outside).map(|(a, b)| a + b).collect()),
    }
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    vector.into_iter().map(|x| x / norm).collect()
}

/// Replaces the weights of one hidden unit.
fn rewrite(
    mut model: Vit,
    index: usize,
    unit: usize,
    row: Vec<f32>,
    bias: f32,
    column: Vec<f32>,
    device: &Device,
) -> Vit {
    let dim = row.len();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), device)
    };
    let mlp = &mut model.blocks[index].mlp;
    // burn stores `[in, out]`: a unit is a column of fc1 and a row of fc2.
    let fc1 = mlp.fc1.weight.clone();
    mlp.fc1.weight = fc1.map(|w| w.slice_assign([0..dim, unit..unit + 1], tensor(row, [dim, 1])));
    let fc2 = mlp.fc2.weight.clone();
    mlp.fc2.weight =
        fc2.map(|w| w.slice_assign([unit..unit + 1, 0..dim], tensor(column, [1, dim])));
    mlp.fc1.bias = mlp.fc1.bias.take().map(|b| {
        b.map(|b| b.slice_assign(s![unit..unit + 1], Tensor::<1>::from_data([bias], device)))
    });
    model
}
