//! Multi-head self-attention.

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use super::config::{QkvBias, VitConfig};
use super::positions::Rope;
use crate::ops::{self, Precision};

/// Multi-head self-attention with one fused projection, as in timm.
#[derive(Module, Debug)]
pub struct Attention {
    /// `D -> 3 D`: queries, keys and values.
    pub qkv: Linear,
    /// `[D]`, with [`QkvBias::QueryValue`].
    pub q_bias: Option<Param<Tensor<1>>>,
    /// `[D]`, with [`QkvBias::QueryValue`].
    pub v_bias: Option<Param<Tensor<1>>>,
    /// On what the heads give, where the family has it (EVA-02's CLIP).
    pub norm: Option<LayerNorm>,
    /// `D -> D`.
    pub proj: Linear,
    num_heads: usize,
    /// The rotary embedding, where positions are rotary.
    #[module(skip)]
    pub(super) rope: Option<Rope>,
}

impl Attention {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let separate = || {
            (config.qkv_bias == QkvBias::QueryValue).then(|| Initializer::Zeros.init([dim], device))
        };
        Self {
            qkv: LinearConfig::new(dim, 3 * dim)
                .with_bias(config.qkv_bias == QkvBias::All)
                .init(device),
            q_bias: separate(),
            v_bias: separate(),
            norm: config
                .scale_attn_inner
                .then(|| LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device)),
            proj: LinearConfig::new(dim, dim).init(device),
            num_heads: config.num_heads,
            rope: Rope::new(config.positions, dim / config.num_heads, config.grid()),
        }
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.num_heads
    }

    /// The rotary embedding, where positions are rotary.
    pub fn rope(&self) -> Option<&Rope> {
        self.rope.as_ref()
    }

    /// The bias of queries, keys (zero) and values as one tensor, `[3 D]`, where they
    /// are separate tensors.
    pub(crate) fn separate_bias(&self) -> Option<Tensor<1>> {
        let (query, value) = (self.q_bias.as_ref()?.val(), self.v_bias.as_ref()?.val());
        Some(Tensor::cat(vec![query.clone(), query.zeros_like(), value], 0))
    }

    /// `proj(attention(qkv(norm(x))))` of the flat tokens of `batch` images, whose products are
    /// in `precision`: `[N, D] -> [N, D]`.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        norm: &LayerNorm,
        epsilon: f64,
        batch: usize,
        precision: Precision,
    ) -> Tensor<2> {
        let bias = self.separate_bias();
        let mut qkv = ops::norm_linear(x, norm, epsilon, &self.qkv, bias, precision);
        if let Some(rope) = &self.rope {
            qkv = self.rotated(qkv, batch, rope);
        }
        let mut mixed = ops::attention(qkv, batch, self.num_heads);
        if let Some(norm) = &self.norm {
            let dtype = FloatDType::from(mixed.dtype());
            mixed = norm.forward(mixed.cast(FloatDType::F32)).cast(dtype);
        }
        ops::linear(mixed, &self.proj)
    }

    /// The attention that the tokens `queries` pay to every token, `softmax(q kᵀ / √d)`, for the
    /// flat tokens of `batch` images: `[N, D]` to `[B, H, Q, T]`. The matrix of all tokens is
    /// never made.
    pub(super) fn rows(
        &self,
        x: Tensor<2>,
        norm: &LayerNorm,
        epsilon: f64,
        batch: usize,
        queries: &[usize],
    ) -> Tensor<4> {
        let bias = self.separate_bias();
        let mut qkv = ops::norm_linear(x, norm, epsilon, &self.qkv, bias, Precision::F32);
        if let Some(rope) = &self.rope {
            qkv = self.rotated(qkv, batch, rope);
        }
        let [rows, width] = qkv.dims();
        let (tokens, heads, dim) = (rows / batch, self.num_heads, width / 3 / self.num_heads);
        let qkv = qkv.reshape([batch, tokens, 3, heads, dim]);
        let part = |index| {
            let part: Tensor<4> = qkv.clone().narrow(2, index, 1).squeeze_dim(2);
            part.swap_dims(1, 2)
        };
        let chosen: Vec<i32> = queries.iter().map(|&query| query as i32).collect();
        let chosen =
            Tensor::<1, Int>::from_data(TensorData::new(chosen, [queries.len()]), &qkv.device());
        let scores = part(0).select(2, chosen).matmul(part(1).swap_dims(2, 3));
        softmax(scores / (dim as f64).sqrt(), 3)
    }

    /// Packed queries, keys and values `[N, 3 D]` with queries and keys rotated.
    fn rotated(&self, qkv: Tensor<2>, batch: usize, rope: &Rope) -> Tensor<2> {
        let [rows, width] = qkv.dims();
        let (tokens, heads, dim) = (rows / batch, self.num_heads, width / 3 / self.num_heads);
        let dtype = FloatDType::from(qkv.dtype());
        let qkv = qkv.reshape([batch, tokens, 3 * heads, dim]);
        let rotated = qkv.clone().narrow(2, 0, 2 * heads).swap_dims(1, 2);
        let rotated = rope.rotate(rotated.cast(FloatDType::F32)).swap_dims(1, 2).cast(dtype);
        Tensor::cat(vec![rotated, qkv.narrow(2, 2 * heads, heads)], 2).reshape([rows, width])
    }
}
