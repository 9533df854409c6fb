//! Features of a ViT that is not trained.
//!
//! On a GPU seven to ten shaders per block compute them, on burn's own buffers and queue. burn
//! needs about fifty operations per block, each of which is compiled and dispatched: that
//! is slow at start-up in a browser, on a software rasteriser, and for single images. For
//! large batches burn's tuned matrix products may be faster.

mod borrowed;
mod pass;

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::gpu::{Attention, Gpu};
use crate::vit::{Vit, VitConfig};
use crate::weights::WeightsFile;

use borrowed::{BorrowedVit, patches};

/// A Vision Transformer for features without gradients.
#[derive(Debug)]
pub struct FrozenVit {
    vit: Vit,
    shaders: Option<(Gpu, BorrowedVit)>,
    half: bool,
}

impl FrozenVit {
    /// From a model on this device. Models that the shaders do not take, and those on
    /// the CPU backend, are computed by burn; see [`by_shaders`](Self::by_shaders).
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device is lost or out of memory.
    pub fn new(vit: Vit, device: &Device) -> Result<Self> {
        let shaders = match device.gpu() {
            Some(gpu) if fits(&vit) => Some((gpu.clone(), BorrowedVit::new(&vit, gpu)?)),
            _ => None,
        };
        Ok(Self { vit, shaders, half: false })
    }

    /// Loads a file of weights with the blocks' matrices as f16, rounded where the file
    /// has more, which halves the model's memory. The device need not compute in f16.
    ///
    /// # Errors
    /// Those of [`WeightsFile::load`] and [`new`](Self::new), and [`Error::HalfMatrices`]
    /// where the shaders do not take the model: on the CPU, or with odd widths.
    pub fn load_half(
        file: &WeightsFile,
        arch: &str,
        config: &VitConfig,
        device: &Device,
    ) -> Result<Self> {
        let vit = file.load_as(arch, config, device.burn(), DType::F16)?;
        let Self { vit, shaders, .. } = Self::new(vit, device)?;
        match shaders {
            Some(_) => Ok(Self { vit, shaders, half: true }),
            None => Err(Error::HalfMatrices),
        }
    }

    /// The same model for images of another patch grid, as [`Vit::with_grid`].
    ///
    /// # Errors
    /// As [`Vit::with_grid`].
    #[cfg(not(target_family = "wasm"))]
    pub fn with_grid(&self, device: &Device, from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        let vit = self.vit.with_grid(from, to)?;
        Ok(Self { half: self.half, ..Self::new(vit, device)? })
    }

    /// The same model for images of another patch grid, as
    /// [`Vit::with_grid_async`].
    ///
    /// # Errors
    /// As [`Vit::with_grid_async`].
    pub async fn with_grid_async(
        &self,
        device: &Device,
        from: [usize; 2],
        to: [usize; 2],
    ) -> Result<Self> {
        let vit = self.vit.with_grid_async(from, to).await?;
        Ok(Self { half: self.half, ..Self::new(vit, device)? })
    }

    /// The model for burn's operations; none where its matrices are kept in half
    /// precision.
    pub fn full(&self) -> Option<&Vit> {
        (!self.half).then_some(&self.vit)
    }

    /// Number of blocks.
    pub fn depth(&self) -> usize {
        self.vit.depth()
    }

    /// Width D of a token.
    pub fn embed_dim(&self) -> usize {
        self.vit.embed_dim()
    }

    /// Class and register tokens before the patch tokens.
    pub fn prefix_tokens(&self) -> usize {
        self.vit.prefix_tokens()
    }

    /// Whether the shaders compute it: on a GPU, where all widths are multiples of 4
    /// and heads have 128 channels at most, as in every published model.
    pub fn by_shaders(&self) -> bool {
        self.shaders.is_some()
    }

    /// The tokens leaving each of the wanted blocks, as
    /// [`Vit::intermediate`]: `[B, 3, H, W]` to `[B, T, D]` each.
    ///
    /// # Errors
    /// [`Error::Shape`] for an image of another size than the model's,
    /// [`Error::Setting`] for a layer that it does not have, [`Error::GpuLimit`] where the
    /// device cannot bind a tensor that large, [`Error::Gpu`] where it is lost.
    pub fn intermediate(&self, image: Tensor<4>, layers: &[usize]) -> Result<Vec<Tensor<3>>> {
        let depth = self.vit.depth();
        if let Some(layer) = layers.iter().find(|&&layer| layer >= depth) {
            let expected = format!("the model's blocks are 0 to {}", depth - 1);
            return Err(Error::setting("layers", layer, expected));
        }
        match &self.shaders {
            Some((gpu, weights)) => pass::intermediate(gpu, weights, image, layers),
            None => Ok(self.vit.intermediate(image, layers)),
        }
    }

    /// The tokens leaving each of `blocks`, the first of which reads `tokens`: `[B, T, D]` to
    /// `[B, T, D]` each. So a pass goes on from tokens that were refined.
    ///
    /// # Errors
    /// [`Error::Shape`] for tokens of another number or width than the model's,
    /// [`Error::Setting`] for a block that it does not have, else as
    /// [`intermediate`](Self::intermediate).
    pub fn go_on(&self, tokens: Tensor<3>, blocks: Range<usize>) -> Result<Vec<Tensor<3>>> {
        let depth = self.vit.depth();
        if blocks.end > depth {
            let expected = format!("the model's blocks are 0 to {}", depth - 1);
            return Err(Error::setting("layers", blocks.end - 1, expected));
        }
        let [_, count, dim] = tokens.dims();
        let wanted = [self.prefix_tokens() + patches(&self.vit), self.embed_dim()];
        if [count, dim] != wanted {
            let reason = format!("the model takes {wanted:?} an image, not {:?}", [count, dim]);
            return Err(Error::shape("tokens", reason));
        }
        match &self.shaders {
            Some((gpu, weights)) => pass::go_on(gpu, weights, tokens, blocks),
            None => Ok(blocks
                .scan(tokens, |tokens, block| {
                    *tokens = self.vit.forward_blocks(tokens.clone(), block..block + 1);
                    Some(tokens.clone())
                })
                .collect()),
        }
    }
}

/// Whether the shaders take a model of these widths.
fn fits(vit: &Vit) -> bool {
    let [_, _, patch, _] = vit.patch_embed.proj.weight.dims();
    let blocks = vit.blocks.iter().all(|block| {
        let [dim, hidden] = block.mlp.fc1.weight.dims();
        let [inner, _] = block.mlp.fc2.weight.dims();
        let head_dim = dim / block.attn.heads();
        [hidden, inner, head_dim].iter().all(|width| width.is_multiple_of(4))
            && head_dim <= Attention::MAX_HEAD_DIM
    });
    blocks && (3 * patch * patch).is_multiple_of(4)
}
