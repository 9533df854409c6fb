//! The shape of a Vision Transformer.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The shape of a Vision Transformer; field names are timm's arguments where
/// timm has one.
///
/// Fields that files of earlier versions lack default to the plain ViT's values.
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
    /// MLP activation or gating.
    #[serde(default)]
    pub mlp: Activation,
    /// Which of queries, keys and values have a bias.
    #[serde(default)]
    pub qkv_bias: QkvBias,
    /// Position encoding.
    #[serde(default)]
    pub positions: Positions,
    /// How the tokens are pooled into one vector.
    #[serde(default)]
    pub pooling: Pooling,
    /// Where the last LayerNorm is.
    #[serde(default)]
    pub final_norm: FinalNorm,
    /// Whether a LayerNorm is between a gated MLP's gate and its last layer (EVA-02).
    #[serde(default)]
    pub scale_mlp: bool,
    /// Whether a LayerNorm is between the heads and the attention's last layer (EVA-02's CLIP).
    #[serde(default)]
    pub scale_attn_inner: bool,
    /// Heads of the attention pool, where not as many as in the blocks (Perception Encoder).
    #[serde(default)]
    pub attn_pool_num_heads: Option<usize>,
    /// Width of the attention pool's hidden layer over `embed_dim`, where it is not the
    /// blocks'.
    #[serde(default)]
    pub attn_pool_mlp_ratio: Option<f64>,
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
            mlp: Activation::Gelu,
            qkv_bias: QkvBias::All,
            positions: Positions::Learned,
            pooling: Pooling::Token,
            final_norm: FinalNorm::Tokens,
            scale_mlp: false,
            scale_attn_inner: false,
            attn_pool_num_heads: None,
            attn_pool_mlp_ratio: None,
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

    /// Number of class and register tokens, which precede the patch tokens.
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

    /// Multiplications and additions, in pairs, of the products of one image's forward pass
    /// through the blocks: what its time grows with.
    pub fn multiply_adds(&self) -> u64 {
        let [tokens, dim, hidden] =
            [self.tokens(), self.embed_dim, self.hidden_dim()].map(|n| n as u64);
        let products = tokens * dim * (4 * dim + 2 * hidden);
        self.depth as u64 * (products + 2 * tokens * tokens * dim)
    }

    /// Heads and width of the hidden layer of the attention pool.
    pub(crate) fn attn_pool_shape(&self) -> (usize, usize) {
        let ratio = self.attn_pool_mlp_ratio.unwrap_or(self.mlp_ratio);
        let hidden = (self.embed_dim as f64 * ratio) as usize;
        (self.attn_pool_num_heads.unwrap_or(self.num_heads), hidden)
    }

    /// Rejects a shape that no model can have.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first field that does not fit.
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
            return Err(Error::setting(
                "img_size",
                format!("{height}x{width}"),
                format!(
                    "it must be a multiple of patch_size {patch}: use {}x{} or another patch_size",
                    fit(height),
                    fit(width)
                ),
            ));
        }
        if self.num_heads == 0
            || self.embed_dim == 0
            || !self.embed_dim.is_multiple_of(self.num_heads)
        {
            return Err(Error::setting(
                "embed_dim",
                self.embed_dim,
                format!("it must be a multiple of num_heads {}", self.num_heads),
            ));
        }
        if self.depth == 0 {
            return Err(Error::setting("depth", self.depth, "it must be at least 1"));
        }
        if self.hidden_dim() == 0 {
            return Err(Error::setting("mlp_ratio", self.mlp_ratio, "it leaves no hidden unit"));
        }
        if self.mlp.is_gated() && !self.hidden_dim().is_multiple_of(2) {
            return Err(Error::setting(
                "mlp_ratio",
                self.mlp_ratio,
                format!(
                    "it gives {} hidden units, which a gated MLP cannot halve",
                    self.hidden_dim()
                ),
            ));
        }
        if self.scale_mlp && !self.mlp.is_gated() {
            return Err(Error::setting("scale_mlp", true, "only a gated MLP has a norm within"));
        }
        let (pool_heads, pool_hidden) = self.attn_pool_shape();
        if pool_heads == 0 || !self.embed_dim.is_multiple_of(pool_heads) || pool_hidden == 0 {
            return Err(Error::setting(
                "attn_pool_num_heads",
                pool_heads,
                format!("it must divide embed_dim {}", self.embed_dim),
            ));
        }
        if let Positions::LearnedAndRotary { side: 0, .. } = self.positions {
            return Err(Error::setting("side", 0, "a patch grid has at least one patch"));
        }
        if self.positions.is_rotary() {
            let head_dim = self.embed_dim / self.num_heads;
            if !head_dim.is_multiple_of(4) {
                return Err(Error::setting(
                    "num_heads",
                    self.num_heads,
                    format!(
                        "it gives {head_dim} channels a head; rotary positions need a multiple of 4"
                    ),
                ));
            }
        }
        if let Positions::Rotary { temperature } = self.positions
            && !(temperature.is_finite() && temperature > 0.0)
        {
            return Err(Error::setting("temperature", temperature, "it must be above 0"));
        }
        if self.pooling == Pooling::Token && !self.class_token {
            return Err(Error::setting(
                "pooling",
                "token",
                "a model without a class token needs mean or attention pooling",
            ));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::setting("norm_eps", self.norm_eps, "it must be above 0"));
        }
        Ok(())
    }
}

/// Position encoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Positions {
    /// A learned embedding, added to the tokens entering block 0.
    #[default]
    Learned,
    /// Axial rotary embedding of queries and keys in every block (DINOv3). timm
    /// builds these models as its `Eva`, which names LayerScale's gains differently.
    Rotary {
        /// Roughly the ratio of the longest to the shortest period; 100 in DINOv3.
        temperature: f64,
    },
    /// A learned embedding, and an axial rotary embedding that counts patches (EVA-02,
    /// Perception Encoder). timm builds these models as its `Eva`, too.
    LearnedAndRotary {
        /// Side of the patch grid in training; the patches of other grids are counted as if
        /// they were spread over that one.
        side: usize,
        /// The number of the first patch, 0 or 1.
        first: usize,
        /// Whether a head's first channels turn by the column, not by the row.
        columns_first: bool,
    },
}

impl Positions {
    /// Whether queries and keys are rotated in every block.
    pub fn is_rotary(self) -> bool {
        self != Self::Learned
    }
}

/// Where the last LayerNorm is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinalNorm {
    /// On the tokens that leave the last block.
    #[default]
    Tokens,
    /// On the pooled vector (EVA-02); the tokens stay as they are.
    Pooled,
    /// Nowhere (Perception Encoder for dense and language tasks, C-RADIO).
    None,
}

/// Which of queries, keys and values have a bias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkvBias {
    /// All three.
    #[default]
    All,
    /// None (DINOv3).
    None,
    /// Queries and values, as separate tensors (DINOv3 `qkvb`).
    QueryValue,
}

/// MLP activation or gating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// Exact GELU.
    #[default]
    Gelu,
    /// GELU by its tanh form (SigLIP 2 giant).
    GeluTanh,
    /// `x * sigmoid(1.702 x)` (OpenAI's CLIP).
    QuickGelu,
    /// A packed SwiGLU: half of the hidden layer gates the other (DINOv2 giant).
    Swiglu,
}

impl Activation {
    /// Whether half of the hidden layer gates the other half.
    pub fn is_gated(self) -> bool {
        self == Self::Swiglu
    }
}

/// How the tokens after the final norm are pooled into one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// The class token.
    #[default]
    Token,
    /// The mean of the patch tokens (DINOv3 in timm).
    Mean,
    /// An attention pool with a learned query (SigLIP).
    Attention,
}
