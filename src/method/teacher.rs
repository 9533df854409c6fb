use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};

use crate::distill::cast;
use crate::vit::Vit;

/// A frozen teacher on the plain device, in any precision; what it gives is f32.
#[derive(Debug)]
pub struct Teacher {
    vit: Vit,
}

impl Teacher {
    /// Runs `vit` in `dtype`.
    pub fn new(vit: Vit, dtype: FloatDType) -> Self {
        Self { vit: cast(vit, dtype).no_grad() }
    }

    /// The model.
    pub fn vit(&self) -> &Vit {
        &self.vit
    }

    /// Tokens leaving each of `layers`: `[B, 3, H, W]` to `[B, T, D]` each.
    pub fn tokens(&self, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        let images = images.cast(self.vit.dtype());
        let tokens = self.vit.intermediate(images, layers).into_iter();
        tokens.map(|tokens| tokens.cast(FloatDType::F32)).collect()
    }

    /// The head's logits: `[B, 3, H, W] -> [B, C]`.
    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.vit.forward(images.cast(self.vit.dtype())).cast(FloatDType::F32)
    }
}
