use burn::tensor::Tensor;

use super::no_such_block;
use crate::error::Result;
use crate::vit::Vit;

/// Removes the planted vector from block `index`: zeroes the output weights of the hidden
/// unit whose output vector is the longest. Returns the model and that unit.
///
/// The unit's original weights are not restored; [`plant`](super::plant) takes the unit
/// with the least effect.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a block that the model does not have.
pub fn silence(mut model: Vit, index: usize) -> Result<(Vit, usize)> {
    if index >= model.depth() {
        return Err(no_such_block(index, model.depth()));
    }
    let fc2 = &mut model.blocks[index].mlp.fc2;
    // burn stores `[in, out]`: a unit is a row.
    let weight = fc2.weight.val();
    let [_, dim] = weight.dims();
    let lengths = weight.square().sum_dim(1).into_data();
    let lengths: Vec<f32> = lengths.iter::<f32>().collect();
    let longest = (0..lengths.len()).max_by(|&a, &b| lengths[a].total_cmp(&lengths[b]));
    let unit = longest.unwrap_or(0);
    fc2.weight = fc2.weight.clone().map(|weight| {
        let nothing = Tensor::<2>::zeros([1, dim], &weight.device());
        weight.slice_assign([unit..unit + 1, 0..dim], nothing)
    });
    Ok((model, unit))
}
