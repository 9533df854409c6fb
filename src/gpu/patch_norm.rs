use bytemuck::NoUninit;

use super::context::Stage;
use super::{Recording, Slice, Tokens};
use crate::error::Result;

const SOURCE: &str = include_str!("../../shaders/patch_norm.wgsl");
static ONE: Stage = Stage { label: "patch_norm.patch_norm", source: SOURCE, entry: "patch_norm" };
pub(super) static FOUR: Stage =
    Stage { label: "patch_norm.patch_norm4", source: SOURCE, entry: "patch_norm4" };
/// Patches that a workgroup takes.
const ROWS: usize = 8;

/// Mirrors `Params` of shaders/patch_norm.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    base: u32,
    out_base: u32,
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
            let params = Params {
                images: images.len() as u32,
                tokens: tokens.tokens as u32,
                dim: tokens.dim as u32,
                prefix: tokens.prefix as u32,
                base: window.base,
                out_base: (images.start * tokens.patches()) as u32,
            };
            let by_four = tokens.dim.is_multiple_of(4) && window.base.is_multiple_of(4);
            let stage = if by_four { &FOUR } else { &ONE };
            let groups = gpu.spread((images.len() * tokens.patches()).div_ceil(ROWS));
            recording.dispatch(stage, &params, &[(1, &window.slice), (2, norms)], groups)?;
        }
        Ok(())
    }
}
