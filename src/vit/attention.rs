use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, module::attention};

use super::VitConfig;

/// Multi-head self-attention with one fused projection, as in timm.
#[derive(Module, Debug)]
pub struct Attention {
    /// `D -> 3 D`: queries, keys and values.
    pub qkv: Linear,
    /// `D -> D`.
    pub proj: Linear,
    num_heads: usize,
}

impl Attention {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        Self {
            qkv: LinearConfig::new(dim, 3 * dim).init(device),
            proj: LinearConfig::new(dim, dim).init(device),
            num_heads: config.num_heads,
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let qkv = self
            .qkv
            .forward(x)
            .reshape([batch, tokens, 3, self.num_heads, dim / self.num_heads])
            .permute([2, 0, 3, 1, 4]);
        let [query, key, value] =
            [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
        let options = AttentionModuleOptions::default();
        let mixed = attention(query, key, value, None, None, options);
        self.proj.forward(mixed.swap_dims(1, 2).reshape([batch, tokens, dim]))
    }
}
