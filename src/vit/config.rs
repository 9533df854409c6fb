use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{MlpKind, Pooling, QkvBias, Vit};
use crate::error::{Error, Result};

/// How tokens know their place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Positions {
    /// A learned embedding, added to the tokens entering block 0.
    #[default]
    Learned,
    /// DINOv3's axial rotation of queries and keys in every block. timm builds
    /// these models as its `Eva`, whose LayerScale has names of its own.
    Rotary {
        /// Ratio of the longest period to the shortest, about: 100 in DINOv3.
        temperature: f64,
    },
}

/// The shape of a Vision Transformer; field names are timm's arguments where
/// timm has one.
///
/// Fields that files of earlier versions lack default to the plain ViT's value.
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
    /// Whether there is a class token (SigLIP has none).
    #[serde(default = "yes")]
    pub class_token: bool,
    /// Whether a LayerNorm `norm_pre` follows the embedding, whose patch
    /// projection then has no bias (CLIP).
    #[serde(default)]
    pub pre_norm: bool,
    /// What lies between an MLP's two layers.
    #[serde(default)]
    pub mlp: MlpKind,
    /// Which of queries, keys and values have a bias.
    #[serde(default)]
    pub qkv_bias: QkvBias,
    /// How tokens know their place.
    #[serde(default)]
    pub positions: Positions,
    /// How tokens become the model's one output.
    #[serde(default)]
    pub pooling: Pooling,
}

fn yes() -> bool {
    true
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
            class_token: true,
            pre_norm: false,
            mlp: MlpKind::Gelu,
            qkv_bias: QkvBias::All,
            positions: Positions::Learned,
            pooling: Pooling::Token,
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
        usize::from(self.class_token) + self.reg_tokens
    }

    /// Number of tokens T.
    pub fn tokens(&self) -> usize {
        self.prefix_tokens() + self.patches()
    }

    /// Width of the MLP's hidden layer, gate included.
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
        if !self.mlp.is_plain() && !self.hidden_dim().is_multiple_of(2) {
            return Err(Error::config(format!(
                "mlp_ratio {} gives {} hidden units, which a gated MLP cannot halve",
                self.mlp_ratio,
                self.hidden_dim()
            )));
        }
        if let Positions::Rotary { temperature } = self.positions {
            let head_dim = self.embed_dim / self.num_heads;
            if !head_dim.is_multiple_of(4) {
                return Err(Error::config(format!(
                    "rotary positions need a multiple of 4 channels a head, not {head_dim} (embed_dim over num_heads)"
                )));
            }
            if !(temperature.is_finite() && temperature > 0.0) {
                return Err(Error::config("the temperature of rotary positions must be positive"));
            }
        }
        if self.pooling == Pooling::Token && !self.class_token {
            return Err(Error::config(
                "a model without a class token cannot be pooled by it: use mean or attention pooling",
            ));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::config("norm_eps must be positive"));
        }
        Ok(())
    }

    /// Number of parameters of a model of this shape; allocates none of them.
    ///
    /// # Errors
    /// [`Error::Config`] where [`VitConfig::validate`] rejects the shape.
    pub fn num_params(&self) -> Result<usize> {
        // burn's parameters are initialised when first read.
        Ok(self.build(&Device::flex())?.num_params())
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
