use super::shader::{Shader, params, shader};
use super::tokens::TokenBatch;
use super::{Recording, Slice, Tokens};
use crate::error::Result;

pub(super) static ONE: Shader<Params> = shader!("patch_norm", "patch_norm", [], [ROWS]);
pub(super) static FOUR: Shader<Params> = shader!("patch_norm", "patch_norm", [by_four], [ROWS]);
/// Patches per workgroup.
const ROWS: usize = 8;

params! {
    /// Mirrors `Params` of shaders/patch_norm.wgsl.
    pub(super) struct Params {
        batch: TokenBatch,
    }
}

/// L2 norms of patch tokens: `shaders/patch_norm.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct PatchNorm;

impl PatchNorm {
    /// `[B, T, D] -> [B, P]`.
    ///
    /// # Errors
    /// [`GpuLimit`](crate::Error::GpuLimit) where one image exceeds a binding.
    pub fn record(recording: &mut Recording, tokens: &Tokens, norms: &Slice) -> Result<()> {
        tokens.check("patch_norm")?;
        norms.check("patch_norm, norms", tokens.images * tokens.patches())?;
        let gpu = recording.gpu();
        let image = tokens.image_elements();
        for images in gpu.groups_of_images("tokens", tokens.images, &[image])? {
            let window = gpu.window(&tokens.slice, images.start * image..images.end * image);
            let out_base = images.start * tokens.patches();
            let params = Params { batch: tokens.batch(&images, window.base, out_base as u32) };
            let by_four = tokens.dim.is_multiple_of(4) && window.base.is_multiple_of(4);
            let stage = if by_four { &FOUR } else { &ONE };
            let groups = gpu.spread((images.len() * tokens.patches()).div_ceil(ROWS));
            recording.dispatch(stage, &params, &[(1, &window.slice), (2, norms)], groups)?;
        }
        Ok(())
    }
}
