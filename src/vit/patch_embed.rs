//! Images to patch tokens.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::config::VitConfig;
use crate::ops::{self, Precision};

/// The weights of timm's patch convolution.
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[D, 3, p, p]`.
    pub weight: Param<Tensor<4>>,
    /// `[D]`; none where a norm follows the embedding (CLIP).
    pub bias: Option<Param<Tensor<1>>>,
}

/// Cuts an image into patches and projects each to a token.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// Kernel and stride equal the patch size.
    pub proj: PatchProjection,
    /// Of the product.
    #[module(skip)]
    pub(super) precision: Precision,
}

impl PatchEmbed {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let (dim, patch) = (config.embed_dim, config.patch_size);
        Self {
            proj: PatchProjection {
                weight: Initializer::Zeros.init([dim, 3, patch, patch], device),
                bias: (!config.pre_norm).then(|| Initializer::Zeros.init([dim], device)),
            },
            precision: Precision::F32,
        }
    }

    /// Patches along the height and the width of images `[B, 3, H, W]`.
    pub fn grid(&self, images: &Tensor<4>) -> [usize; 2] {
        let patch = self.proj.weight.dims()[2];
        let [.., height, width] = images.dims();
        [height / patch, width / patch]
    }

    /// `[B, 3, H, W] -> [B, P, D]`, patches in row-major order.
    ///
    /// Stride equals kernel, so the convolution is one matrix product over
    /// flattened patches.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = image.dims();
        let weight = self.proj.weight.val();
        let [dim, _, patch, _] = weight.dims();
        let (rows, cols) = (height / patch, width / patch);
        let flat = channels * patch * patch;
        let patches = image
            .reshape([batch, channels, rows, patch, cols, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch * rows * cols, flat]);
        let patches = match self.precision.half() {
            Some(half) => patches.cast(half),
            None => patches,
        };
        let weight = weight.reshape([dim, flat]).transpose();
        let bias = match &self.proj.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([dim], &weight.device()),
        };
        ops::dense(patches, weight, bias).reshape([batch, rows * cols, dim])
    }
}
