//! Whether a precision can hold a model's weights.

use burn::nn::Linear;
use burn::tensor::Tensor;

use super::{Precision, Vit};
use crate::error::{Error, Result};
use crate::readback::read;

/// The largest finite number in half precision.
const LARGEST_HALF: f32 = 65504.0;

impl Vit {
    /// Checks that products in `precision` can hold the matrices of the patch embedding and
    /// of the blocks: f16 ends at 65504.
    ///
    /// # Errors
    /// [`Error::BeyondHalf`] with the first matrix that it cannot hold, and [`Error::Gpu`].
    pub fn check_range(&self, precision: Precision) -> Result<()> {
        if precision != Precision::F16 {
            return Ok(());
        }
        let mut names = vec!["patch_embed.proj.weight".to_owned()];
        let mut largest = vec![self.patch_embed.proj.weight.val().detach().abs().max()];
        for (block, of) in self.blocks.iter().enumerate() {
            let layers: [(&str, &Linear); 4] = [
                ("attn.qkv", &of.attn.qkv),
                ("attn.proj", &of.attn.proj),
                ("mlp.fc1", &of.mlp.fc1),
                ("mlp.fc2", &of.mlp.fc2),
            ];
            for (name, layer) in layers {
                names.push(format!("blocks.{block}.{name}.weight"));
                largest.push(layer.weight.val().detach().abs().max());
            }
        }
        let largest = read(Tensor::cat(largest, 0))?;
        match names.into_iter().zip(largest).find(|(_, largest)| *largest > LARGEST_HALF) {
            Some((tensor, largest)) => Err(Error::BeyondHalf { tensor, largest }),
            None => Ok(()),
        }
    }
}
