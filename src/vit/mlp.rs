//! The MLP of a block.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{gelu, gelu_approximate, sigmoid, silu};
use burn::tensor::{Device, Tensor};

use super::config::{Activation, VitConfig};

/// Two linear layers with an activation or a gate between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `D -> hidden`.
    pub fc1: Linear,
    /// `hidden -> D`; `hidden / 2 -> D` for a SwiGLU.
    pub fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let (dim, hidden) = (config.embed_dim, config.hidden_dim());
        let inner = if config.mlp.is_gated() { hidden / 2 } else { hidden };
        Self {
            fc1: LinearConfig::new(dim, hidden).init(device),
            fc2: LinearConfig::new(inner, dim).init(device),
            activation: config.mlp,
        }
    }

    /// MLP activation or gating.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The input of `fc2`: `[B, T, D] -> [B, T, hidden]`, half as wide for a SwiGLU.
    pub fn hidden(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.fc1.forward(x);
        match self.activation {
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => gelu_approximate(x),
            Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Activation::Swiglu => swiglu(x),
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(self.hidden(x))
    }
}

/// The gated activation of a packed SwiGLU (DINOv2 giant; timm's
/// `SwiGLUPacked`): `silu(gate) * value`, where the first half of the channels is
/// the gate. `[B, T, 2 H] -> [B, T, H]`. See <https://arxiv.org/abs/2002.05202>.
fn swiglu(x: Tensor<3>) -> Tensor<3> {
    let half = x.dims()[2] / 2;
    let gate = x.clone().narrow(2, 0, half);
    silu(gate) * x.narrow(2, half, half)
}
