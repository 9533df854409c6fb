//! The whole transformer.

use std::ops::Range;

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

use super::block::Block;
use super::config::{FinalNorm, Pooling, Positions, VitConfig};
use super::patch_embed::PatchEmbed;
use super::pooling::AttnPool;
use super::positions::resample_positions;
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::readback::read_async;

/// A Vision Transformer.
#[derive(Module, Debug)]
pub struct Vit {
    /// Embeds patches.
    pub patch_embed: PatchEmbed,
    /// The class token `[1, 1, D]`, where the model has one.
    pub cls_token: Option<Param<Tensor<3>>>,
    /// The register tokens `[1, R, D]`, where the model has any.
    pub reg_token: Option<Param<Tensor<3>>>,
    /// The learned position embedding `[1, T, D]`, or `[1, P, D]` where it covers patch
    /// tokens only; none where positions are rotary alone.
    pub pos_embed: Option<Param<Tensor<3>>>,
    /// LayerNorm on the tokens entering block 0 (CLIP).
    pub norm_pre: Option<LayerNorm>,
    /// The transformer blocks.
    pub blocks: Vec<Block>,
    /// LayerNorm after the last block, where it is on the tokens.
    pub norm: Option<LayerNorm>,
    /// Attention pooling of the tokens after the final norm (SigLIP, Perception Encoder).
    pub attn_pool: Option<AttnPool>,
    /// LayerNorm on the pooled vector (EVA-02).
    pub fc_norm: Option<LayerNorm>,
    /// Classifier on the pooled output, where the model has classes.
    pub head: Option<Linear>,
    #[module(skip)]
    pooling: Pooling,
    no_embed_class: bool,
    #[module(skip)]
    norm_eps: f64,
}

impl Vit {
    fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let positions = if config.no_embed_class { config.patches() } else { config.tokens() };
        let norm = || LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device);
        let zeros = |rows: usize| Initializer::Zeros.init([1, rows, dim], device);
        Self {
            patch_embed: PatchEmbed::new(config, device),
            cls_token: config.class_token.then(|| zeros(1)),
            reg_token: (config.reg_tokens > 0).then(|| zeros(config.reg_tokens)),
            pos_embed: (!matches!(config.positions, Positions::Rotary { .. }))
                .then(|| zeros(positions)),
            norm_pre: config.pre_norm.then(norm),
            blocks: (0..config.depth).map(|_| Block::new(config, device)).collect(),
            norm: (config.final_norm == FinalNorm::Tokens).then(norm),
            attn_pool: (config.pooling == Pooling::Attention)
                .then(|| AttnPool::new(config, device)),
            fc_norm: (config.final_norm == FinalNorm::Pooled).then(norm),
            head: (config.num_classes > 0)
                .then(|| LinearConfig::new(dim, config.num_classes).init(device)),
            pooling: config.pooling,
            no_embed_class: config.no_embed_class,
            norm_eps: config.norm_eps,
        }
    }

    /// Number of class and register tokens, which precede the patch tokens.
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

    /// The precision of matrix products.
    pub fn precision(&self) -> Precision {
        self.patch_embed.precision
    }

    /// The same model with the products of its patch embedding and blocks in `precision`. The
    /// weights stay as they are.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.patch_embed.precision = precision;
        for block in &mut self.blocks {
            block.precision = precision;
        }
        self
    }

    /// Whether the learned position embedding covers patch tokens only.
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
        self.embed_changed(image, |patches| patches)
    }

    /// As [`embed`](Self::embed) with the embedded patches `[B, P, D]` changed before their
    /// positions are added.
    pub fn embed_changed(
        &self,
        image: Tensor<4>,
        change: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let tokens = self.place(change(self.patch_embed.forward(image)));
        match &self.norm_pre {
            Some(norm) => norm.forward(tokens),
            None => tokens,
        }
    }

    /// Adds positions to embedded patches and puts class and register tokens before
    /// them: `[B, P, D] -> [B, T, D]`.
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

    /// The tokens leaving the blocks `layers`, `[B, T, D]` each, in that order, without
    /// the final norm. Blocks after the last of them are not run.
    ///
    /// # Panics
    /// Where a layer is not a block's index.
    pub fn intermediate(&self, image: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        self.intermediate_changed(image, layers, |_, tokens| tokens)
    }

    /// As [`intermediate`](Self::intermediate), with the tokens `[B, T, D]` leaving each block
    /// changed: later blocks read the changed tokens.
    ///
    /// # Panics
    /// Where a layer is not a block's index.
    pub fn intermediate_changed(
        &self,
        image: Tensor<4>,
        layers: &[usize],
        mut change: impl FnMut(usize, Tensor<3>) -> Tensor<3>,
    ) -> Vec<Tensor<3>> {
        let mut found: Vec<Option<Tensor<3>>> = vec![None; layers.len()];
        let Some(&last) = layers.iter().max() else {
            return Vec::new();
        };
        let mut x = self.embed(image);
        for (index, block) in self.blocks[..=last].iter().enumerate() {
            x = change(index, block.forward(x));
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
        self.final_norm(self.forward_blocks(tokens, 0..self.depth()))
    }

    /// The final norm of tokens, in a model that has it: `[B, T, D] -> [B, T, D]`.
    pub fn final_norm(&self, tokens: Tensor<3>) -> Tensor<3> {
        match &self.norm {
            Some(norm) => norm.forward(tokens),
            None => tokens,
        }
    }

    /// Pools the tokens after the final norm: `[B, T, D] -> [B, D]`.
    pub fn pool(&self, tokens: Tensor<3>) -> Tensor<2> {
        let pooled = match (&self.attn_pool, self.pooling) {
            (Some(pool), _) => pool.forward(tokens),
            (None, Pooling::Mean) => {
                let prefix = self.prefix_tokens();
                let count = tokens.dims()[1] - prefix;
                tokens.narrow(1, prefix, count).mean_dim(1).squeeze_dim(1)
            }
            (None, _) => tokens.narrow(1, 0, 1).squeeze_dim(1),
        };
        match &self.fc_norm {
            Some(norm) => norm.forward(pooled),
            None => pooled,
        }
    }

    /// The class token of `[B, T, D]` as `[B, D]`, where the model has one.
    pub fn class_token(&self, tokens: &Tensor<3>) -> Option<Tensor<2>> {
        self.cls_token.as_ref().map(|_| tokens.clone().narrow(1, 0, 1).squeeze_dim(1))
    }

    /// The global feature of tokens leaving a block: the class token without the
    /// final norm, or, in a model without one, the tokens after the final norm, pooled.
    /// `[B, T, D] -> [B, D]`.
    pub fn global_feature(&self, tokens: Tensor<3>) -> Tensor<2> {
        match self.class_token(&tokens) {
            Some(class) => class,
            None => self.pool(self.final_norm(tokens)),
        }
    }

    /// Logits `[B, classes]`; the pooled output `[B, D]` where there is no head.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<2> {
        let tokens = self.embed(image);
        self.logits(self.forward_blocks(tokens, 0..self.depth()))
    }

    /// Logits from the tokens leaving the last block: `[B, T, D] -> [B, classes]`, or the
    /// pooled `[B, D]` where there is no head.
    pub fn logits(&self, tokens: Tensor<3>) -> Tensor<2> {
        let pooled = self.pool(self.final_norm(tokens));
        match &self.head {
            Some(head) => head.forward(pooled),
            None => pooled,
        }
    }

    /// The same model for images of another patch grid: only its positions
    /// change. Learned ones are resampled, see [`resample_positions`]; rotary ones
    /// follow from the grid. A model may have both.
    ///
    /// # Errors
    /// [`Error::Setting`] where the model's own grid is not `from`, or `to` is empty.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_grid(&self, from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        let values = || Some(self.pos_embed.as_ref()?.val().into_data().iter().collect());
        self.regridded(from, to, if from == to { None } else { values() })
    }

    /// As `with_grid`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// As `with_grid`, and [`Error::Gpu`].
    pub async fn with_grid_async(&self, from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        let values = match &self.pos_embed {
            Some(positions) if from != to => Some(read_async(positions.val()).await?),
            _ => None,
        };
        self.regridded(from, to, values)
    }

    fn regridded(
        &self,
        from: [usize; 2],
        to: [usize; 2],
        positions: Option<Vec<f32>>,
    ) -> Result<Self> {
        let mut model = self.clone();
        if from == to {
            return Ok(model);
        }
        let refuse = |rows: usize, prefix: usize| {
            Error::setting(
                "grid",
                format!("{to:?}"),
                format!(
                    "the model has {rows} positions, {prefix} of class and register tokens, which do not come from a grid of {from:?} patches, or the new one is empty"
                ),
            )
        };
        for block in &mut model.blocks {
            let Some(rope) = &block.attn.rope else { continue };
            if rope.patches() != from[0] * from[1] || to.contains(&0) {
                return Err(refuse(rope.patches(), 0));
            }
            block.attn.rope = rope.with_grid(to);
        }
        let (Some(learned), Some(values)) = (&self.pos_embed, positions) else {
            return Ok(model);
        };
        let [_, rows, dim] = learned.dims();
        let prefix = if self.no_embed_class { 0 } else { self.prefix_tokens() };
        if rows != prefix + from[0] * from[1] || to.contains(&0) {
            return Err(refuse(rows, prefix));
        }
        let values = resample_positions(&values, prefix, from, to);
        let data = TensorData::new(values, [1, prefix + to[0] * to[1], dim]);
        let like = learned.val();
        let resampled: Tensor<3> = Tensor::from_data(data, (&like.device(), like.dtype()));
        let resampled = resampled.set_require_grad(learned.is_require_grad());
        model.pos_embed = Some(Param::initialized(learned.id, resampled));
        Ok(model)
    }
}

impl VitConfig {
    /// Number of parameters of a model of this shape; allocates none of them.
    ///
    /// # Errors
    /// Those of [`VitConfig::validate`].
    pub fn num_params(&self) -> Result<usize> {
        // burn's parameters are initialised when first read.
        Ok(self.build(&Device::flex())?.num_params())
    }

    /// A model of this shape on `device`; set its weights with
    /// [`init_weights`](super::init_weights) or [`weights::load`](crate::weights::load).
    ///
    /// # Errors
    /// Those of [`VitConfig::validate`].
    pub fn build(&self, device: &Device) -> Result<Vit> {
        self.validate()?;
        Ok(Vit::new(self, device))
    }
}
