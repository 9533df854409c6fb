//! Attention pooling.

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, module::attention};

use super::config::VitConfig;
use super::mlp::Mlp;

/// Attention pooling with one learned query (SigLIP, Perception Encoder; timm's
/// `AttentionPoolLatent`): `x = proj(attn(latent, tokens)); x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct AttnPool {
    /// `[1, 1, D]`, the query before its projection.
    pub latent: Param<Tensor<3>>,
    /// `D -> D`.
    pub q: Linear,
    /// `D -> 2 D`: keys and values.
    pub kv: Linear,
    /// `D -> D`.
    pub proj: Linear,
    /// Before the MLP.
    pub norm: LayerNorm,
    /// On the pooled token.
    pub mlp: Mlp,
    num_heads: usize,
}

impl AttnPool {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let (num_heads, hidden) = config.attn_pool_shape();
        Self {
            latent: Initializer::Zeros.init([1, 1, dim], device),
            q: LinearConfig::new(dim, dim).init(device),
            kv: LinearConfig::new(dim, 2 * dim).init(device),
            proj: LinearConfig::new(dim, dim).init(device),
            norm: LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device),
            mlp: Mlp::new(config, hidden, device),
            num_heads,
        }
    }

    /// `[B, T, D] -> [B, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, tokens, dim] = x.dims();
        let heads = self.num_heads;
        let query = self.q.forward(self.latent.val().expand([batch, 1, dim]));
        let query = query.reshape([batch, 1, heads, dim / heads]).swap_dims(1, 2);
        let kv = self
            .kv
            .forward(x)
            .reshape([batch, tokens, 2, heads, dim / heads])
            .permute([2, 0, 3, 1, 4]);
        let [key, value] = [0, 1].map(|i| kv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
        let options = AttentionModuleOptions::default();
        let mixed = attention(query, key, value, None, None, options);
        let x = self.proj.forward(mixed.swap_dims(1, 2).reshape([batch, 1, dim]));
        let x = x.clone() + self.mlp.forward(self.norm.forward(x));
        x.squeeze_dim(1)
    }
}
