// Tokens [B, T, D], of which a dispatch takes as many images as fit one binding.

struct TokenBatch {
    // Images of this dispatch, and of the batch before them.
    images: u32,
    first_image: u32,
    // T, D, the class and register tokens, and the P patch tokens after them.
    tokens: u32,
    dim: u32,
    prefix: u32,
    patches: u32,
    // Elements of the bound buffer before the first image, and of the output's.
    base: u32,
    out_base: u32,
}

// First element of a patch token.
fn patch_start(batch: TokenBatch, image: u32, patch_index: u32) -> u32 {
    return batch.base + (image * batch.tokens + batch.prefix + patch_index) * batch.dim;
}
