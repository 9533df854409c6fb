//! The operations in which a transformer spends its time, with hand-written gradients that keep
//! their inputs alone, on flat tokens `[N, D]`, `N = B T`.
//!
//! Products may be computed in half precision ([`Precision`]); residual stream, LayerNorm, softmax
//! and GELU stay f32, as do the weights and what the optimiser does with them.

mod backend;
mod cpu;
mod flex;
mod generic;
mod gradient;

use std::fmt;

use burn::backend::Dispatch;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use backend::VitOps;

/// The precision of matrix products; sums are in f32 in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16: f32's range with 8 bits of precision.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl Precision {
    /// The element of the products' factors, where it is not f32.
    pub(crate) fn half(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(FloatDType::F16),
            Self::Bf16 => Some(FloatDType::BF16),
        }
    }
}

/// `[N, D] -> [N, E]` in f32. Half precision of `x` makes the product one of halves.
pub(crate) fn linear(x: Tensor<2>, layer: &Linear) -> Tensor<2> {
    dense(x, layer.weight.val(), bias_of(layer))
}

/// `x w + b`: `[N, D]`, `[D, E]`, `[E]` to `[N, E]` in f32.
pub(crate) fn dense(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::dense(x.into_dispatch(), w.into_dispatch(), b.into_dispatch()))
}

/// `LayerNorm(x) w + b` with the layer's weight and a bias `[E]`: `[N, D] -> [N, E]` in
/// `precision`.
pub(crate) fn norm_linear(
    x: Tensor<2>,
    norm: &LayerNorm,
    epsilon: f64,
    layer: &Linear,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    let gamma = norm.gamma.val();
    let beta = norm.beta.as_ref().map_or_else(|| gamma.zeros_like(), |beta| beta.val());
    let bias = bias.unwrap_or_else(|| bias_of(layer));
    Tensor::from_dispatch(Dispatch::norm_dense(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        layer.weight.val().into_dispatch(),
        bias.into_dispatch(),
        epsilon,
        precision.half(),
    ))
}

/// `GELU(x) w + b`: `[N, D] -> [N, E]` in f32.
pub(crate) fn gelu_linear(x: Tensor<2>, layer: &Linear) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::gelu_dense(
        x.into_dispatch(),
        layer.weight.val().into_dispatch(),
        bias_of(layer).into_dispatch(),
    ))
}

/// Multi-head self-attention of packed queries, keys and values of `batch` images:
/// `[N, 3 D] -> [N, D]`, in the precision of `qkv`.
pub(crate) fn attention(qkv: Tensor<2>, batch: usize, heads: usize) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::mix(qkv.into_dispatch(), batch, heads))
}

/// Zeros where the layer has no bias.
fn bias_of(layer: &Linear) -> Tensor<1> {
    match &layer.bias {
        Some(bias) => bias.val(),
        None => {
            let [_, columns] = layer.weight.dims();
            Tensor::zeros([columns], &layer.weight.device())
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests;
