use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{gelu, gelu_approximate, sigmoid};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::VitConfig;
use super::swiglu::swiglu;

/// What lies between the MLP's two linear layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// Exact GELU.
    #[default]
    Gelu,
    /// GELU by its tanh form (SigLIP 2 giant).
    GeluTanh,
    /// `x * sigmoid(1.702 x)` (OpenAI's CLIP).
    QuickGelu,
    /// A packed SwiGLU: half of the hidden layer gates the other (DINOv2 giant).
    Swiglu,
}

impl MlpKind {
    /// Whether every hidden unit is an activation of its own, with no gate.
    pub fn is_plain(self) -> bool {
        self != Self::Swiglu
    }
}

/// Two linear layers with an activation between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `D -> hidden`.
    pub fc1: Linear,
    /// `hidden -> D`; `hidden / 2 -> D` for a SwiGLU.
    pub fc2: Linear,
    #[module(skip)]
    kind: MlpKind,
}

impl Mlp {
    pub(super) fn new(config: &VitConfig, device: &Device) -> Self {
        let (dim, hidden) = (config.embed_dim, config.hidden_dim());
        let inner = if config.mlp.is_plain() { hidden } else { hidden / 2 };
        Self {
            fc1: LinearConfig::new(dim, hidden).init(device),
            fc2: LinearConfig::new(inner, dim).init(device),
            kind: config.mlp,
        }
    }

    /// What lies between the two layers.
    pub fn kind(&self) -> MlpKind {
        self.kind
    }

    /// What `fc2` reads: `[B, T, D] -> [B, T, hidden]`, half of it for a SwiGLU.
    pub fn hidden(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.fc1.forward(x);
        match self.kind {
            MlpKind::Gelu => gelu(x),
            MlpKind::GeluTanh => gelu_approximate(x),
            MlpKind::QuickGelu => x.clone() * sigmoid(x * 1.702),
            MlpKind::Swiglu => swiglu(x),
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(self.hidden(x))
    }
}
