//! Multi-head self-attention.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, module::attention};

use super::config::{Positions, QkvBias, VitConfig};
use super::positions::Rope;

/// Multi-head self-attention with one fused projection, as in timm.
#[derive(Module, Debug)]
pub struct Attention {
    /// `D -> 3 D`: queries, keys and values.
    pub qkv: Linear,
    /// `[D]`, with [`QkvBias::QueryValue`].
    pub q_bias: Option<Param<Tensor<1>>>,
    /// `[D]`, with [`QkvBias::QueryValue`].
    pub v_bias: Option<Param<Tensor<1>>>,
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
            proj: LinearConfig::new(dim, dim).init(device),
            num_heads: config.num_heads,
            rope: match config.positions {
                Positions::Learned => None,
                Positions::Rotary { temperature } => {
                    Some(Rope::new(temperature, dim / config.num_heads, config.grid()))
                }
            },
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

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let mut qkv = self.qkv.forward(x);
        if let Some(bias) = self.separate_bias() {
            qkv = qkv + bias.unsqueeze();
        }
        let qkv = qkv
            .reshape([batch, tokens, 3, self.num_heads, dim / self.num_heads])
            .permute([2, 0, 3, 1, 4]);
        let [mut query, mut key, value] =
            [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
        if let Some(rope) = &self.rope {
            (query, key) = (rope.rotate(query), rope.rotate(key));
        }
        let options = AttentionModuleOptions::default();
        let mixed = attention(query, key, value, None, None, options);
        self.proj.forward(mixed.swap_dims(1, 2).reshape([batch, tokens, dim]))
    }
}
