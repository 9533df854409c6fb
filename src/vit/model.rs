use std::ops::Range;

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::{Block, PatchEmbed, VitConfig};

/// A Vision Transformer.
#[derive(Module, Debug)]
pub struct Vit {
    /// Image to patch tokens.
    pub patch_embed: PatchEmbed,
    /// `[1, 1, D]`.
    pub cls_token: Param<Tensor<3>>,
    /// `[1, R, D]`, where the model has register tokens.
    pub reg_token: Option<Param<Tensor<3>>>,
    /// `[1, T, D]`, or `[1, P, D]` where it covers patch tokens only.
    pub pos_embed: Param<Tensor<3>>,
    /// The transformer blocks.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: LayerNorm,
    /// On the class token, where the model has classes.
    pub head: Option<Linear>,
    pub(super) no_embed_class: bool,
}

impl Vit {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let positions = if config.no_embed_class { config.patches() } else { config.tokens() };
        let zeros = |rows: usize| Initializer::Zeros.init([1, rows, dim], device);
        Self {
            patch_embed: PatchEmbed::new(config, device),
            cls_token: zeros(1),
            reg_token: (config.reg_tokens > 0).then(|| zeros(config.reg_tokens)),
            pos_embed: zeros(positions),
            blocks: (0..config.depth).map(|_| Block::new(config, device)).collect(),
            norm: LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device),
            head: (config.num_classes > 0)
                .then(|| LinearConfig::new(dim, config.num_classes).init(device)),
            no_embed_class: config.no_embed_class,
        }
    }

    /// Class and register tokens before the patch tokens.
    pub fn prefix_tokens(&self) -> usize {
        1 + self.reg_token.as_ref().map_or(0, |token| token.dims()[1])
    }

    /// Width D of a token.
    pub fn embed_dim(&self) -> usize {
        self.cls_token.dims()[2]
    }

    /// Number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The tokens entering block 0: `[B, 3, H, W] -> [B, T, D]`.
    pub fn embed(&self, image: Tensor<4>) -> Tensor<3> {
        let patches = self.patch_embed.forward(image);
        let [batch, _, dim] = patches.dims();
        let mut prefix = vec![self.cls_token.val().expand([batch, 1, dim])];
        if let Some(registers) = &self.reg_token {
            let registers = registers.val();
            let count = registers.dims()[1];
            prefix.push(registers.expand([batch, count, dim]));
        }
        let with_prefix = |patches: Tensor<3>| {
            let mut tokens = prefix;
            tokens.push(patches);
            Tensor::cat(tokens, 1)
        };
        if self.no_embed_class {
            with_prefix(patches + self.pos_embed.val())
        } else {
            with_prefix(patches) + self.pos_embed.val()
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

    /// Logits `[B, classes]`; the class token `[B, D]` where there is no head.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<2> {
        let class = self.forward_features(image).narrow(1, 0, 1).squeeze_dim::<2>(1);
        match &self.head {
            Some(head) => head.forward(class),
            None => class,
        }
    }
}
