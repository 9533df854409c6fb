use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

use super::{Attention, Mlp, VitConfig};

/// A learned gain for each channel of a residual branch.
#[derive(Module, Debug)]
pub struct LayerScale {
    /// `[D]`.
    pub gamma: Param<Tensor<1>>,
}

impl LayerScale {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.gamma.val().unsqueeze()
    }
}

/// A pre-norm transformer block:
/// `x += ls1(attn(norm1(x))); x += ls2(mlp(norm2(x)))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Mixes tokens.
    pub attn: Attention,
    /// On the attention's output, where the family has LayerScale.
    pub ls1: Option<LayerScale>,
    /// Before the MLP.
    pub norm2: LayerNorm,
    /// Mixes channels.
    pub mlp: Mlp,
    /// On the MLP's output, where the family has LayerScale.
    pub ls2: Option<LayerScale>,
}

impl Block {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let dim = config.embed_dim;
        let norm = || LayerNormConfig::new(dim).with_epsilon(config.norm_eps).init(device);
        let scale = || {
            config.init_values.map(|value| LayerScale {
                gamma: Initializer::Constant { value }.init([dim], device),
            })
        };
        Self {
            norm1: norm(),
            attn: Attention::new(config, device),
            ls1: scale(),
            norm2: norm(),
            mlp: Mlp::new(config, device),
            ls2: scale(),
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let branch = self.attn.forward(self.norm1.forward(x.clone()));
        let x = x + scaled(&self.ls1, branch);
        let branch = self.mlp.forward(self.norm2.forward(x.clone()));
        x + scaled(&self.ls2, branch)
    }
}

fn scaled(scale: &Option<LayerScale>, x: Tensor<3>) -> Tensor<3> {
    match scale {
        Some(scale) => scale.forward(x),
        None => x,
    }
}
