use burn::tensor::Tensor;

/// Changes the patch tokens alone, `[B, T, D] -> [B, T, D]`; the first `prefix`
/// tokens (class, registers) pass unchanged.
pub(crate) fn on_patches(
    tokens: Tensor<3>,
    prefix: usize,
    change: impl FnOnce(Tensor<3>) -> Tensor<3>,
) -> Tensor<3> {
    // burn takes no slice of zero tokens.
    if prefix == 0 {
        return change(tokens);
    }
    let count = tokens.dims()[1] - prefix;
    let fixed = tokens.clone().narrow(1, 0, prefix);
    Tensor::cat(vec![fixed, change(tokens.narrow(1, prefix, count))], 1)
}
