use burn::tensor::{Tensor, TensorData, s};

use super::samples::Samples;
use crate::error::{Error, Result};
use crate::readback::read;
use crate::vit::Vit;

/// The weights of one hidden unit.
pub(super) struct Unit {
    /// What it multiplies the input of fc1 with, `[D]`.
    pub(super) row: Vec<f64>,
    pub(super) bias: f64,
    /// What it writes into the token for each unit of its activation, `[D]`.
    pub(super) column: Vec<f64>,
}

/// The `count` units with the least mean |activation| times the norm of their output, least
/// first.
pub(super) fn least_used(
    model: &Vit,
    samples: &Samples,
    index: usize,
    count: usize,
) -> Result<Vec<usize>> {
    let weight = model.blocks[index].mlp.fc2.weight.val();
    let [hidden, dim] = weight.dims();
    if count > hidden {
        return Err(Error::incompatible(format!(
            "this kind of artifact takes {count} hidden units, and block {index} has {hidden}"
        )));
    }
    let weight = read(weight)?;
    let size = |unit: usize| {
        let norm: f32 = weight[unit * dim..(unit + 1) * dim].iter().map(|w| w * w).sum();
        f64::from(norm.sqrt()) * samples.mean_activation[unit]
    };
    let mut units: Vec<usize> = (0..hidden).collect();
    units.sort_by(|&a, &b| size(a).total_cmp(&size(b)));
    units.truncate(count);
    Ok(units)
}

/// Replaces the weights of hidden units of a block; `gain` is LayerScale's on what they write.
pub(super) fn rewrite(
    mut model: Vit,
    index: usize,
    places: &[usize],
    units: &[Unit],
    gain: &[f64],
) -> Vit {
    let device = model.device();
    let dim = gain.len();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let mlp = &mut model.blocks[index].mlp;
    // burn stores `[in, out]`: a unit is a column of fc1 and a row of fc2.
    for (&place, unit) in places.iter().zip(units) {
        let row = unit.row.iter().map(|&a| a as f32).collect();
        let column = unit.column.iter().zip(gain).map(|(v, g)| (v / g) as f32).collect();
        let (row, column) = (tensor(row, [dim, 1]), tensor(column, [1, dim]));
        let at = place..place + 1;
        mlp.fc1.weight =
            mlp.fc1.weight.clone().map(|w| w.slice_assign([0..dim, at.clone()], row.clone()));
        mlp.fc2.weight =
            mlp.fc2.weight.clone().map(|w| w.slice_assign([at.clone(), 0..dim], column.clone()));
        let bias = Tensor::<1>::from_data([unit.bias as f32], &device);
        mlp.fc1.bias = mlp.fc1.bias.take().map(|b| b.map(|b| b.slice_assign(s![at], bias.clone())));
    }
    model
}

/// LayerScale's gain on what the block's MLP writes; ones where there is none.
pub(super) fn gain_of(model: &Vit, index: usize) -> Result<Vec<f64>> {
    let Some(gain) = model.blocks[index].mlp_gain() else {
        return Ok(vec![1.0; model.embed_dim()]);
    };
    let gain: Vec<f64> = read(gain)?.into_iter().map(f64::from).collect();
    match gain.contains(&0.0) {
        true => Err(Error::incompatible(format!(
            "block {index}'s LayerScale is zero in places, so its MLP cannot write there; plant into another block"
        ))),
        false => Ok(gain),
    }
}
