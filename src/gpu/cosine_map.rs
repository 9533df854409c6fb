use std::ops::Range;

use super::shader::{Shader, params, shader};
use super::tokens::TokenBatch;
use super::{Gpu, Recording, Slice, Tokens};
use crate::error::{Error, Result};

pub(super) static TO: Shader<Params> = shader!("cosine_map", "cosine_map", [], [ROWS]);
pub(super) static TO_FOUR: Shader<Params> = shader!("cosine_map", "cosine_map", [by_four], [ROWS]);
pub(super) static BETWEEN: Shader<Params> = shader!("cosine_map", "cosine_map", [between], [ROWS]);
pub(super) static BETWEEN_FOUR: Shader<Params> =
    shader!("cosine_map", "cosine_map", [between, by_four], [ROWS]);
/// Patches per workgroup.
const ROWS: usize = 8;

params! {
    /// Mirrors `Params` of shaders/cosine_map.wgsl.
    pub(super) struct Params {
        a: TokenBatch,
        c: TokenBatch,
    }
}

/// Cosine similarity of patch tokens: `shaders/cosine_map.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct CosineMap;

impl CosineMap {
    /// Similarity of every patch to the marked one of its image: tokens `[B, T, D]` and
    /// patch indices `[B]` (u32, below P) to `[B, P]`.
    ///
    /// # Errors
    /// [`GpuLimit`](Error::GpuLimit) where one image exceeds a binding.
    pub fn to_marked(
        recording: &mut Recording,
        tokens: &Tokens,
        marked: &Slice,
        out: &Slice,
    ) -> Result<()> {
        tokens.check("cosine_map")?;
        marked.check("cosine_map, marked", tokens.images)?;
        out.check("cosine_map, similarities", tokens.images * tokens.patches())?;
        let gpu = recording.gpu();
        let image = tokens.image_elements();
        for images in gpu.groups_of_images("tokens", tokens.images, &[image])? {
            let window = gpu.window(&tokens.slice, images.start * image..images.end * image);
            let out_base = images.start * tokens.patches();
            let batch = tokens.batch(&images, window.base, out_base as u32);
            let params = Params { a: batch, c: batch };
            let by_four = tokens.dim.is_multiple_of(4) && window.base.is_multiple_of(4);
            let stage = if by_four { &TO_FOUR } else { &TO };
            let slices = [(1, &window.slice), (3, marked), (4, out)];
            recording.dispatch(stage, &params, &slices, groups(gpu, tokens, &images))?;
        }
        Ok(())
    }

    /// Similarity patch by patch of `[B, T, D]` and `[B, T', D]`, which have the same
    /// number of patches: `[B, P]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit, [`GpuLimit`](Error::GpuLimit)
    /// where one image exceeds a binding.
    pub fn between(
        recording: &mut Recording,
        tokens: &Tokens,
        other: &Tokens,
        out: &Slice,
    ) -> Result<()> {
        tokens.check("cosine_map")?;
        other.check("cosine_map")?;
        out.check("cosine_map, similarities", tokens.images * tokens.patches())?;
        let shape = |tokens: &Tokens| (tokens.images, tokens.patches(), tokens.dim);
        if shape(tokens) != shape(other) {
            let reason =
                format!("cannot compare patches {:?} with {:?}", shape(tokens), shape(other));
            return Err(Error::shape("cosine_map", reason));
        }
        let gpu = recording.gpu();
        let sizes = [tokens.image_elements(), other.image_elements()];
        for images in gpu.groups_of_images("tokens", tokens.images, &sizes)? {
            let part = |size: usize| images.start * size..images.end * size;
            let one = gpu.window(&tokens.slice, part(sizes[0]));
            let two = gpu.window(&other.slice, part(sizes[1]));
            let out_base = images.start * tokens.patches();
            let params = Params {
                a: tokens.batch(&images, one.base, out_base as u32),
                c: other.batch(&images, two.base, 0),
            };
            let by_four =
                [tokens.dim as u32, one.base, two.base].iter().all(|n| n.is_multiple_of(4));
            let stage = if by_four { &BETWEEN_FOUR } else { &BETWEEN };
            let slices = [(1, &one.slice), (2, &two.slice), (4, out)];
            recording.dispatch(stage, &params, &slices, groups(gpu, tokens, &images))?;
        }
        Ok(())
    }
}

fn groups(gpu: &Gpu, tokens: &Tokens, images: &Range<usize>) -> [u32; 3] {
    gpu.spread((images.len() * tokens.patches()).div_ceil(ROWS))
}
