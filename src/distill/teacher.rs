use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use crate::vit::Vit;

/// A frozen teacher on the plain device, in any precision; what it gives is f32.
#[derive(Debug)]
pub struct Teacher {
    vit: Vit,
}

impl Teacher {
    /// Runs `vit` in `dtype`.
    pub fn new(vit: Vit, dtype: FloatDType) -> Self {
        Self { vit: vit.no_grad() }.with_precision(dtype)
    }

    /// The same teacher, run in `dtype`.
    pub fn with_precision(self, dtype: FloatDType) -> Self {
        Self { vit: self.vit.map(&mut Cast(dtype)) }
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

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

/// A tensor of the plain device as a constant of the training graph of `device`; it shares
/// the memory.
pub fn as_constant<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}
