use burn::tensor::Tensor;

use super::{Planted, no_such_block};
use crate::error::Result;
use crate::readback::read;
use crate::vit::Vit;

/// Removes the planted vector from block `index`: zeroes the output weights of the hidden
/// unit whose output vector is the longest. Returns the model and that unit.
///
/// The unit's original weights are not restored; [`plant`](super::plant) takes the unit
/// with the least effect. Of kinds with several units this takes one:
/// [`Planted::silence`] takes them all.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a block that the model does not have;
/// [`Error::Gpu`](crate::Error::Gpu).
pub fn silence(model: Vit, index: usize) -> Result<(Vit, usize)> {
    if index >= model.depth() {
        return Err(no_such_block(index, model.depth()));
    }
    // burn stores `[in, out]`: a unit is a row.
    let lengths = read(model.blocks[index].mlp.fc2.weight.val().square().sum_dim(1))?;
    let longest = (0..lengths.len()).max_by(|&a, &b| lengths[a].total_cmp(&lengths[b]));
    let unit = longest.unwrap_or(0);
    Ok((zero(model, index, &[unit]), unit))
}

impl Planted {
    /// Zeroes the output weights of the hidden units that planting took. Of the planted model
    /// this takes all artifacts away; of the clean one it makes the model that differs from the
    /// planted one in nothing but artifacts.
    pub fn silence(&self, model: Vit) -> Vit {
        self.units.iter().fold(model, |model, (&block, units)| zero(model, block, units))
    }
}

fn zero(mut model: Vit, index: usize, units: &[usize]) -> Vit {
    let fc2 = &mut model.blocks[index].mlp.fc2;
    let [hidden, _] = fc2.weight.dims();
    let kept: Vec<f32> = (0..hidden).map(|unit| f32::from(!units.contains(&unit))).collect();
    fc2.weight = fc2.weight.clone().map(|weight| {
        let kept = Tensor::<1>::from_floats(kept.as_slice(), &weight.device());
        weight * kept.unsqueeze_dim::<2>(1)
    });
    model
}
