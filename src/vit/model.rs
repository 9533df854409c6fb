use std::ops::Range;

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};

use super::{AttnPool, Block, PatchEmbed, Pooling, Positions, VitConfig};

/// A Vision Transformer.
#[derive(Module, Debug)]
pub struct Vit {
    /// Image to patch tokens.
    pub patch_embed: PatchEmbed,
    /// `[1, 1, D]`, where the model has a class token.
    pub cls_token: Option<Param<Tensor<3>>>,
    /// `[1, R, D]`, where the model has register tokens.
    pub reg_token: Option<Param<Tensor<3>>>,
    /// `[1, T, D]`, or `[1, P, D]` where it covers patch tokens only;
    /// none where positions are rotary.
    pub pos_embed: Option<Param<Tensor<3>>>,
    /// On the tokens entering block 0 (CLIP).
    pub norm_pre: Option<LayerNorm>,
    /// The transformer blocks.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: LayerNorm,
    /// On the tokens after the final norm, where they are pooled by attention.
    pub attn_pool: Option<AttnPool>,
    /// On the pooled output, where the model has classes.
    pub head: Option<Linear>,
    #[module(skip)]
    pooling: Pooling,
    pub(super) no_embed_class: bool,
    #[module(skip)]
    norm_eps: f64,
}

impl Vit {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let positions = if config.no_embed_class { config.patches() } else { config.tokens() };
        let norm = || LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device);
        let zeros = |rows: usize| Initializer::Zeros.init([1, rows, dim], device);
        Self {
            patch_embed: PatchEmbed::new(config, device),
            cls_token: config.class_token.then(|| zeros(1)),
            reg_token: (config.reg_tokens > 0).then(|| zeros(config.reg_tokens)),
            pos_embed: (config.positions == Positions::Learned).then(|| zeros(positions)),
            norm_pre: config.pre_norm.then(norm),
            blocks: (0..config.depth).map(|_| Block::new(config, device)).collect(),
            norm: norm(),
            attn_pool: (config.pooling == Pooling::Attention)
                .then(|| AttnPool::new(config, device)),
            head: (config.num_classes > 0)
                .then(|| LinearConfig::new(dim, config.num_classes).init(device)),
            pooling: config.pooling,
            no_embed_class: config.no_embed_class,
            norm_eps: config.norm_eps,
        }
    }

    /// Class and register tokens before the patch tokens.
    pub fn prefix_tokens(&self) -> usize {
        let count = |token: &Option<Param<Tensor<3>>>| token.as_ref().map_or(0, |t| t.dims()[1]);
        count(&self.cls_token) + count(&self.reg_token)
    }

    /// Width D of a token.
    pub fn embed_dim(&self) -> usize {
        self.patch_embed.proj.weight.dims()[0]
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.patch_embed.proj.weight.device()
    }

    /// The precision of the weights.
    pub fn dtype(&self) -> DType {
        self.patch_embed.proj.weight.val().dtype()
    }

    /// Whether the position embedding covers patch tokens only.
    pub fn no_embed_class(&self) -> bool {
        self.no_embed_class
    }

    /// Epsilon of every LayerNorm.
    pub fn norm_eps(&self) -> f64 {
        self.norm_eps
    }

    /// Number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The tokens entering block 0: `[B, 3, H, W] -> [B, T, D]`.
    pub fn embed(&self, image: Tensor<4>) -> Tensor<3> {
        let tokens = self.place(self.patch_embed.forward(image));
        match &self.norm_pre {
            Some(norm) => norm.forward(tokens),
            None => tokens,
        }
    }

    /// Embedded patches with their positions, after class and register tokens:
    /// `[B, P, D] -> [B, T, D]`.
    pub(crate) fn place(&self, patches: Tensor<3>) -> Tensor<3> {
        let [batch, _, dim] = patches.dims();
        let with_prefix = |patches: Tensor<3>| {
            let prefix = [&self.cls_token, &self.reg_token].into_iter().flatten();
            let mut tokens: Vec<Tensor<3>> = prefix
                .map(|token| token.val())
                .map(|token| {
                    let count = token.dims()[1];
                    token.expand([batch, count, dim])
                })
                .collect();
            tokens.push(patches);
            Tensor::cat(tokens, 1)
        };
        match &self.pos_embed {
            Some(positions) if self.no_embed_class => with_prefix(patches + positions.val()),
            Some(positions) => with_prefix(patches) + positions.val(),
            None => with_prefix(patches),
        }
    }

    /// Runs a range of blocks on given tokens: `[B, T, D] -> [B, T, D]`.
    ///
    /// # Panics
    /// Where the range reaches past the last block.
    pub fn forward_blocks(&self, tokens: Tensor<3>, range: Range<usize>) -> Tensor<3> {
        self.blocks[range].iter().fold(tokens, |x, block| block.forward(x))
    }

    /// The tokens leaving each of the wanted blocks, `[B, T, D]` each, in the
    /// order of `layers`; stops after the last one wanted. No final norm.
    ///
    /// # Panics
    /// Where a layer is not a block's index.
    pub fn intermediate(&self, image: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        let mut found: Vec<Option<Tensor<3>>> = vec![None; layers.len()];
        let Some(&last) = layers.iter().max() else {
            return Vec::new();
        };
        let mut x = self.embed(image);
        for (index, block) in self.blocks[..=last].iter().enumerate() {
            x = block.forward(x);
            for (slot, &layer) in found.iter_mut().zip(layers) {
                if layer == index {
                    *slot = Some(x.clone());
                }
            }
        }
        found.into_iter().map(|slot| slot.expect("every layer is below depth")).collect()
    }

    /// The tokens after all blocks and the final norm: `[B, T, D]`.
    pub fn forward_features(&self, image: Tensor<4>) -> Tensor<3> {
        let tokens = self.embed(image);
        self.norm.forward(self.forward_blocks(tokens, 0..self.depth()))
    }

    /// The model's one output, from tokens after the final norm:
    /// `[B, T, D] -> [B, D]`.
    pub fn pool(&self, tokens: Tensor<3>) -> Tensor<2> {
        match (&self.attn_pool, self.pooling) {
            (Some(pool), _) => pool.forward(tokens),
            (None, Pooling::Mean) => {
                let prefix = self.prefix_tokens();
                let count = tokens.dims()[1] - prefix;
                tokens.narrow(1, prefix, count).mean_dim(1).squeeze_dim(1)
            }
            (None, _) => tokens.narrow(1, 0, 1).squeeze_dim(1),
        }
    }

    /// The class token of `[B, T, D]` as `[B, D]`, where the model has one.
    pub fn class_token(&self, tokens: &Tensor<3>) -> Option<Tensor<2>> {
        self.cls_token.as_ref().map(|_| tokens.clone().narrow(1, 0, 1).squeeze_dim(1))
    }

    /// What stands for the whole image in tokens leaving a block: the class
    /// token as it is, or, in a model without one, the tokens pooled after the
    /// final norm. `[B, T, D] -> [B, D]`.
    pub fn summary(&self, tokens: Tensor<3>) -> Tensor<2> {
        match self.class_token(&tokens) {
            Some(class) => class,
            None => self.pool(self.norm.forward(tokens)),
        }
    }

    /// Logits `[B, classes]`; the pooled output `[B, D]` where there is no head.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<2> {
        let tokens = self.embed(image);
        self.logits(self.forward_blocks(tokens, 0..self.depth()))
    }

    /// What [`forward`](Self::forward) gives, from the tokens leaving the last
    /// block: `[B, T, D] -> [B, classes]`.
    pub fn logits(&self, tokens: Tensor<3>) -> Tensor<2> {
        let pooled = self.pool(self.norm.forward(tokens));
        match &self.head {
            Some(head) => head.forward(pooled),
            None => pooled,
        }
    }
}
