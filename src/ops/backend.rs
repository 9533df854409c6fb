//! The operations on a backend's own tensors.
//!
//! Every operation has a body of burn's operations, which serves GPUs (where burn fuses what is
//! element by element) and any precision. The CPU backend computes f32 by the kernels of
//! [`cpu`](super::cpu).

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, backend_extension};
use burn::tensor::FloatDType;

use super::generic;

/// Operations of a ViT. Tokens are flat, `[N, D]` with `N = B T`.
#[cfg_attr(feature = "fusion", backend_extension(Cube, Flex, Fusion, Autodiff))]
#[cfg_attr(not(feature = "fusion"), backend_extension(Cube, Flex, Autodiff))]
pub(super) trait VitOps: Backend {
    /// `x w + b`: `[N, D]`, `[D, E]`, `[E]` to `[N, E]`, in f32. Half precision of `x` makes the
    /// product one of halves.
    #[fusion(default)]
    fn dense(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        generic::dense::<Self>(x, w, b)
    }

    /// `LayerNorm(x) w + b`. With `half`, the product and the result are in that precision.
    #[fusion(default)]
    fn norm_dense(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
        epsilon: f64,
        half: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        generic::norm_dense::<Self>(x, gamma, beta, w, b, epsilon, half)
    }

    /// `GELU(x) w + b`, in f32. Half precision of `x` makes the product one of halves.
    #[fusion(default)]
    fn gelu_dense(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        generic::gelu_dense::<Self>(x, w, b)
    }

    /// Multi-head self-attention of packed queries, keys and values: `[N, 3 D]` to `[N, D]`, in
    /// the precision of `qkv`.
    #[fusion(default)]
    fn mix(qkv: FloatTensor<Self>, batch: usize, heads: usize) -> FloatTensor<Self> {
        generic::mix::<Self>(qkv, batch, heads)
    }

    /// LayerNorm over the channels of f32 tokens.
    #[fusion(default)]
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        generic::norm::<Self>(x, gamma, beta, epsilon)
    }

    /// The gradients of [`norm`](Self::norm) for x, γ and β.
    #[fusion(default)]
    fn norm_gradients(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        generic::norm_gradients::<Self>(x, gamma, dy, epsilon)
    }

    /// The exact GELU, in f32.
    #[fusion(default)]
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::gelu::<Self>(x)
    }

    /// The gradient of [`exact_gelu`](Self::exact_gelu), in f32.
    #[fusion(default)]
    fn gelu_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::gelu_gradient::<Self>(x, dy)
    }

    /// The gradient of [`mix`](Self::mix), `[N, 3 D]`; the attention is computed anew.
    #[fusion(default)]
    fn mix_gradient(
        qkv: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        batch: usize,
        heads: usize,
    ) -> FloatTensor<Self> {
        generic::mix_gradient::<Self>(qkv, dy, batch, heads)
    }

    /// The gradient of a product for its left side, `dy wᵀ`: in f32.
    #[fusion(default)]
    fn left_gradient(dy: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::left_gradient::<Self>(dy, w)
    }

    /// The gradient of a product for its right side, `xᵀ dy`: in f32.
    #[fusion(default)]
    fn right_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::right_gradient::<Self>(x, dy)
    }

    /// Sums of the columns: `[N, E] -> [E]`, in f32.
    #[fusion(default)]
    fn column_sums(dy: FloatTensor<Self>) -> FloatTensor<Self> {
        generic::column_sums::<Self>(dy)
    }
}

impl VitOps for Cube {}
