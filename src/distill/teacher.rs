use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::vit::{Precision, Vit};

/// A frozen teacher on the plain device.
#[derive(Debug)]
pub struct Teacher {
    vit: Vit,
}

impl Teacher {
    /// Freezes `vit`.
    pub fn new(vit: Vit) -> Self {
        Self { vit: vit.no_grad() }
    }

    /// The same teacher with its matrix products in `precision`. Half precision also halves the
    /// memory of the matrices.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        let mut vit = self.vit.with_precision(precision);
        if let Some(half) = precision.half() {
            for block in &mut vit.blocks {
                let (attention, mlp) = (&mut block.attn, &mut block.mlp);
                let layers = [&mut attention.qkv, &mut attention.proj, &mut mlp.fc1, &mut mlp.fc2];
                for layer in layers {
                    layer.weight = Param::from_tensor(layer.weight.val().cast(half)).no_grad();
                }
            }
        }
        Self { vit }
    }

    /// The model.
    pub fn vit(&self) -> &Vit {
        &self.vit
    }

    /// Tokens leaving each of `layers`: `[B, 3, H, W]` to `[B, T, D]` each.
    pub fn tokens(&self, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        self.vit.intermediate(images, layers)
    }

    /// The head's logits: `[B, 3, H, W] -> [B, C]`.
    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.vit.forward(images)
    }
}

/// A tensor of the plain device as a constant of the training graph of `device`; it shares
/// the memory.
pub fn as_constant<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}
