//! The transformer block.

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

use super::attention::Attention;
use super::config::VitConfig;
use super::mlp::Mlp;
use crate::error::{Error, Result};
use crate::ops::Precision;

/// A learned gain for each channel of a residual branch.
#[derive(Module, Debug)]
pub struct LayerScale {
    /// `[D]`.
    pub gamma: Param<Tensor<1>>,
}

/// A pre-norm transformer block:
/// `x += ls1(attn(norm1(x))); x += ls2(mlp(norm2(x)))`.
///
/// timm keeps LayerScale's gains as `ls1.gamma` in its `VisionTransformer` and as
/// `gamma_1` in its `Eva` (DINOv3); a block has one of the two forms or neither.
#[derive(Module, Debug)]
pub struct Block {
    /// LayerNorm before the attention.
    pub norm1: LayerNorm,
    /// Mixes tokens.
    pub attn: Attention,
    /// LayerScale on the attention's output, where the family has it.
    pub ls1: Option<LayerScale>,
    /// `[D]`, the same under the name that models with rotary positions use.
    pub gamma_1: Option<Param<Tensor<1>>>,
    /// LayerNorm before the MLP.
    pub norm2: LayerNorm,
    /// Mixes channels.
    pub mlp: Mlp,
    /// LayerScale on the MLP's output, where the family has it.
    pub ls2: Option<LayerScale>,
    /// `[D]`, the same under the name that models with rotary positions use.
    pub gamma_2: Option<Param<Tensor<1>>>,
    #[module(skip)]
    norm_eps: f64,
    /// Of the products.
    #[module(skip)]
    pub(super) precision: Precision,
}

impl Block {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let norm = || LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device);
        let eva = config.positions.is_rotary();
        let gain = |wanted: bool| {
            let value = config.init_values.filter(|_| wanted)?;
            Some(Initializer::Constant { value }.init([dim], device))
        };
        let scale = || gain(!eva).map(|gamma| LayerScale { gamma });
        Self {
            norm1: norm(),
            attn: Attention::new(config, device),
            ls1: scale(),
            gamma_1: gain(eva),
            norm2: norm(),
            mlp: Mlp::new(config, config.hidden_dim(), device),
            ls2: scale(),
            gamma_2: gain(eva),
            norm_eps: config.norm_eps,
            precision: Precision::F32,
        }
    }

    /// The attention and its residual, `x + ls1(attn(norm1(x)))`:
    /// `[B, T, D] -> [B, T, D]`.
    pub fn attend(&self, x: Tensor<3>) -> Tensor<3> {
        on_flat_tokens(x, |x, batch| self.attend_flat(x, batch))
    }

    /// The attention that the tokens `queries` of each image pay to all tokens, by head, without
    /// the `T×T` matrix: the tokens `[B, T, D]` that enter the block to `[B, H, Q, T]`, whose rows
    /// add up to 1. Token 0 is the class token where there is one.
    ///
    /// # Errors
    /// [`Error::Setting`] for a token that there is not.
    pub fn attention_rows(&self, x: Tensor<3>, queries: &[usize]) -> Result<Tensor<4>> {
        let [batch, tokens, dim] = x.dims();
        if let Some(query) = queries.iter().find(|&&query| query >= tokens) {
            let expected = format!("the tokens are 0 to {}", tokens - 1);
            return Err(Error::setting("token", query, expected));
        }
        let x = x.reshape([batch * tokens, dim]);
        Ok(self.attn.rows(x, &self.norm1, self.norm_eps, batch, queries))
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        on_flat_tokens(x, |x, batch| {
            let x = self.attend_flat(x, batch);
            let branch =
                self.mlp.forward_normed(x.clone(), &self.norm2, self.norm_eps, self.precision);
            x + scaled(branch, self.mlp_gain())
        })
    }

    /// As `forward`, with what `change` makes of the hidden units, the input of the MLP's last
    /// layer (`[B, T, hidden]`, half as wide for a SwiGLU): `[B, T, D] -> [B, T, D]`.
    pub fn forward_changing(
        &self,
        x: Tensor<3>,
        change: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let tokens = x.dims()[1];
        on_flat_tokens(x, |x, batch| {
            let x = self.attend_flat(x, batch);
            let change = |hidden: Tensor<2>| {
                let [rows, width] = hidden.dims();
                change(hidden.reshape([batch, tokens, width])).reshape([rows, width])
            };
            let (norm, eps) = (&self.norm2, self.norm_eps);
            let branch = self.mlp.changing_normed(x.clone(), norm, eps, self.precision, change);
            x + scaled(branch, self.mlp_gain())
        })
    }

    fn attend_flat(&self, x: Tensor<2>, batch: usize) -> Tensor<2> {
        let branch =
            self.attn.forward(x.clone(), &self.norm1, self.norm_eps, batch, self.precision);
        x + scaled(branch, self.attention_gain())
    }

    /// LayerScale's gain `[D]` on the attention's output, where the family has one.
    pub fn attention_gain(&self) -> Option<Tensor<1>> {
        gain(&self.ls1, &self.gamma_1)
    }

    /// LayerScale's gain `[D]` on the MLP's output, where the family has one.
    pub fn mlp_gain(&self) -> Option<Tensor<1>> {
        gain(&self.ls2, &self.gamma_2)
    }
}

fn gain(scale: &Option<LayerScale>, bare: &Option<Param<Tensor<1>>>) -> Option<Tensor<1>> {
    scale.as_ref().map(|scale| &scale.gamma).or(bare.as_ref()).map(Param::val)
}

/// Calls `work` with `[B, T, D]` as `[B T, D]`, and with B.
fn on_flat_tokens(x: Tensor<3>, work: impl FnOnce(Tensor<2>, usize) -> Tensor<2>) -> Tensor<3> {
    let [batch, tokens, dim] = x.dims();
    work(x.reshape([batch * tokens, dim]), batch).reshape([batch, tokens, dim])
}

fn scaled(x: Tensor<2>, gain: Option<Tensor<1>>) -> Tensor<2> {
    match gain {
        Some(gain) => x * gain.unsqueeze(),
        None => x,
    }
}
