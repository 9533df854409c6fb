//! The MLP of a block.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, gelu_approximate, sigmoid, silu};
use burn::tensor::{Device, FloatDType, Tensor};

use super::config::{Activation, VitConfig};
use crate::ops::{self, Precision};

/// Two linear layers with an activation or a gate between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `D -> hidden`.
    pub fc1: Linear,
    /// On what enters `fc2`, where the family has it (EVA-02).
    pub norm: Option<LayerNorm>,
    /// `hidden -> D`; `hidden / 2 -> D` for a SwiGLU.
    pub fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(super) fn new(config: &VitConfig, hidden: usize, device: &Device) -> Self {
        let dim = config.embed_dim;
        let inner = if config.mlp.is_gated() { hidden / 2 } else { hidden };
        let norm = || LayerNormConfig::new(inner).with_epsilon(config.norm_eps).init(device);
        Self {
            fc1: LinearConfig::new(dim, hidden).init(device),
            norm: config.scale_mlp.then(norm),
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
        let [batch, tokens, dim] = x.dims();
        let hidden = self.inner(ops::linear(x.reshape([batch * tokens, dim]), &self.fc1));
        let width = hidden.dims()[1];
        hidden.reshape([batch, tokens, width])
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let x = self.project(ops::linear(x.reshape([batch * tokens, dim]), &self.fc1));
        x.reshape([batch, tokens, dim])
    }

    /// The MLP of `norm(x)` on flat tokens, whose products are in `precision`:
    /// `[N, D] -> [N, D]`.
    pub(super) fn forward_normed(
        &self,
        x: Tensor<2>,
        norm: &LayerNorm,
        epsilon: f64,
        precision: Precision,
    ) -> Tensor<2> {
        self.project(ops::norm_linear(x, norm, epsilon, &self.fc1, None, precision))
    }

    /// As `forward_normed`, with what `change` makes of the input of `fc2`, `[N, hidden]` in f32.
    pub(super) fn changing_normed(
        &self,
        x: Tensor<2>,
        norm: &LayerNorm,
        epsilon: f64,
        precision: Precision,
        change: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        self.project_changed(ops::norm_linear(x, norm, epsilon, &self.fc1, None, precision), change)
    }

    /// From the output of `fc1`: `[N, hidden] -> [N, D]`.
    fn project(&self, x: Tensor<2>) -> Tensor<2> {
        match self.activation {
            Activation::Gelu => ops::gelu_linear(x, &self.fc2),
            _ => self.project_changed(x, |inner| inner),
        }
    }

    fn project_changed(
        &self,
        x: Tensor<2>,
        change: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let dtype = FloatDType::from(x.dtype());
        ops::linear(change(self.inner(x.cast(FloatDType::F32))).cast(dtype), &self.fc2)
    }

    /// From the output of `fc1` to the input of `fc2`.
    fn inner(&self, x: Tensor<2>) -> Tensor<2> {
        let activated = self.activate(x);
        match &self.norm {
            Some(norm) => norm.forward(activated),
            None => activated,
        }
    }

    fn activate(&self, x: Tensor<2>) -> Tensor<2> {
        match self.activation {
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => gelu_approximate(x),
            Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Activation::Swiglu => swiglu(x),
        }
    }
}

/// The gated activation of a packed SwiGLU (DINOv2 giant; timm's
/// `SwiGLUPacked`): `silu(gate) * value`, where the first half of the channels is
/// the gate. `[N, 2 H] -> [N, H]`. See <https://arxiv.org/abs/2002.05202>.
fn swiglu(x: Tensor<2>) -> Tensor<2> {
    let half = x.dims()[1] / 2;
    let gate = x.clone().narrow(1, 0, half);
    silu(gate) * x.narrow(1, half, half)
}
