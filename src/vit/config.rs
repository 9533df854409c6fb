use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::Vit;
use crate::error::{Error, Result};

/// The shape of a Vision Transformer; field names are timm's arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Image height and width in pixels.
    pub img_size: [usize; 2],
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Width D of a token.
    pub embed_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `embed_dim`.
    pub num_heads: usize,
    /// Width of the MLP's hidden layer over `embed_dim`.
    pub mlp_ratio: f64,
    /// Outputs of the head; 0 for no head.
    pub num_classes: usize,
    /// Register tokens after the class token.
    pub reg_tokens: usize,
    /// Whether the position embedding covers patch tokens only (DeiT-III).
    pub no_embed_class: bool,
    /// LayerScale's initial gamma; none for no LayerScale.
    pub init_values: Option<f64>,
    /// Epsilon of every LayerNorm.
    pub norm_eps: f64,
}

impl Default for VitConfig {
    /// timm's `vit_tiny_patch16_224` without a head.
    fn default() -> Self {
        Self {
            img_size: [224, 224],
            patch_size: 16,
            embed_dim: 192,
            depth: 12,
            num_heads: 3,
            mlp_ratio: 4.0,
            num_classes: 0,
            reg_tokens: 0,
            no_embed_class: false,
            init_values: None,
            norm_eps: 1e-6,
        }
    }
}

impl VitConfig {
    /// Patches along the height and the width.
    pub fn grid(&self) -> [usize; 2] {
        self.img_size.map(|side| side / self.patch_size)
    }

    /// Number of patch tokens P.
    pub fn patches(&self) -> usize {
        self.grid().iter().product()
    }

    /// Class and register tokens before the patch tokens.
    pub fn prefix_tokens(&self) -> usize {
        1 + self.reg_tokens
    }

    /// Number of tokens T.
    pub fn tokens(&self) -> usize {
        self.prefix_tokens() + self.patches()
    }

    /// Width of the MLP's hidden layer.
    pub fn hidden_dim(&self) -> usize {
        (self.embed_dim as f64 * self.mlp_ratio) as usize
    }

    /// Rejects shapes that cannot work.
    pub fn validate(&self) -> Result<()> {
        let [height, width] = self.img_size;
        let patch = self.patch_size;
        if patch == 0
            || height == 0
            || width == 0
            || !height.is_multiple_of(patch)
            || !width.is_multiple_of(patch)
        {
            let fit = |side: usize| side.checked_div(patch).map_or(0, |n| n.max(1) * patch);
            return Err(Error::config(format!(
                "img_size {height}x{width} is not a multiple of patch_size {patch}: use {}x{} or another patch_size",
                fit(height),
                fit(width)
            )));
        }
        if self.num_heads == 0
            || self.embed_dim == 0
            || !self.embed_dim.is_multiple_of(self.num_heads)
        {
            return Err(Error::config(format!(
                "embed_dim {} is not a multiple of num_heads {}",
                self.embed_dim, self.num_heads
            )));
        }
        if self.depth == 0 {
            return Err(Error::config("depth must be at least 1"));
        }
        if self.hidden_dim() == 0 {
            return Err(Error::config(format!(
                "mlp_ratio {} leaves no hidden unit",
                self.mlp_ratio
            )));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::config("norm_eps must be positive"));
        }
        Ok(())
    }

    /// A model of this shape on `device`; set its weights with
    /// [`init_weights`](super::init_weights) or [`weights::load`](crate::weights::load).
    ///
    /// # Errors
    /// [`Error::Config`] where [`VitConfig::validate`] rejects the shape.
    pub fn build(&self, device: &Device) -> Result<Vit> {
        self.validate()?;
        Ok(Vit::new(self, device))
    }
}
