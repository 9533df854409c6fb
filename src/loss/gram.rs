use burn::tensor::Tensor;

/// The Gram matrix of the patch tokens scaled to unit length:
/// `[B, T, D] -> [B, P, P]`; the first `prefix` tokens are left out.
pub fn gram(tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
    let count = tokens.dims()[1] - prefix;
    let patches = tokens.narrow(1, prefix, count);
    let norms = patches.clone().square().sum_dim(2).clamp_min(1e-24).sqrt();
    let unit = patches / norms;
    unit.clone().matmul(unit.transpose())
}

/// Mean squared difference of two Gram matrices: `[B, T, D]` twice to `[1]`.
pub fn gram_mse(a: Tensor<3>, b: Tensor<3>, prefix: usize) -> Tensor<1> {
    super::mse(gram(a, prefix), gram(b, prefix))
}
