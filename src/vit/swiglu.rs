use burn::tensor::Tensor;
use burn::tensor::activation::silu;

/// The gated activation of a packed SwiGLU (DINOv2 giant; timm's
/// `SwiGLUPacked`): `silu(gate) * value`, where the first half of the channels is
/// the gate. `[B, T, 2 H] -> [B, T, H]`. See <https://arxiv.org/abs/2002.05202>.
pub(super) fn swiglu(x: Tensor<3>) -> Tensor<3> {
    let half = x.dims()[2] / 2;
    let gate = x.clone().narrow(2, 0, half);
    silu(gate) * x.narrow(2, half, half)
}
