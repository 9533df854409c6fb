use std::ops::Range;

use bytemuck::NoUninit;

use super::context::Stage;
use super::{Gpu, Recording, Slice, Tokens};
use crate::error::{Error, Result};

const SOURCE: &str = include_str!("../../shaders/cosine_map.wgsl");
static TO: Stage = Stage { label: "cosine_map.cosine_to", source: SOURCE, entry: "cosine_to" };
static TO_FOUR: Stage =
    Stage { label: "cosine_map.cosine_to4", source: SOURCE, entry: "cosine_to4" };
static BETWEEN: Stage =
    Stage { label: "cosine_map.cosine_between", source: SOURCE, entry: "cosine_between" };
static BETWEEN_FOUR: Stage =
    Stage { label: "cosine_map.cosine_between4", source: SOURCE, entry: "cosine_between4" };
/// Patches that a workgroup takes.
const ROWS: usize = 8;

/// Mirrors `Params` of shaders/cosine_map.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    base: u32,
    out_base: u32,
    other_tokens: u32,
    other_prefix: u32,
    other_base: u32,
    first_image: u32,
}

/// Cosine similarity of patch tokens: `shaders/cosine_map.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct CosineMap;

impl CosineMap {
    /// Of every patch to the marked one of its image: `[B, T, D]` and patch
    /// indices `[B]` (u32, below P) to `[B, P]`.
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
            let params = params(tokens, None, &images, [window.base, 0]);
            let by_four = tokens.dim.is_multiple_of(4) && window.base.is_multiple_of(4);
            let stage = if by_four { &TO_FOUR } else { &TO };
            let slices = [(1, &window.slice), (3, marked), (4, out)];
            recording.dispatch(stage, &params, &slices, groups(gpu, tokens, &images))?;
        }
        Ok(())
    }

    /// Patch by patch between `[B, T, D]` and `[B, T', D]`, of as many patches, to
    /// `[B, P]`.
    ///
    /// # Errors
    /// [`Error::Config`] where the shapes do not fit, [`GpuLimit`](Error::GpuLimit)
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
            return Err(Error::config(format!(
                "cannot compare patches of shape {:?} with {:?}",
                shape(tokens),
                shape(other)
            )));
        }
        let gpu = recording.gpu();
        let sizes = [tokens.image_elements(), other.image_elements()];
        for images in gpu.groups_of_images("tokens", tokens.images, &sizes)? {
            let part = |size: usize| images.start * size..images.end * size;
            let one = gpu.window(&tokens.slice, part(sizes[0]));
            let two = gpu.window(&other.slice, part(sizes[1]));
            let params = params(tokens, Some(other), &images, [one.base, two.base]);
            let by_four =
                [tokens.dim as u32, one.base, two.base].iter().all(|n| n.is_multiple_of(4));
            let stage = if by_four { &BETWEEN_FOUR } else { &BETWEEN };
            let slices = [(1, &one.slice), (2, &two.slice), (4, out)];
            recording.dispatch(stage, &params, &slices, groups(gpu, tokens, &images))?;
        }
        Ok(())
    }
}

fn params(
    tokens: &Tokens,
    other: Option<&Tokens>,
    images: &Range<usize>,
    [base, other_base]: [u32; 2],
) -> Params {
    Params {
        images: images.len() as u32,
        tokens: tokens.tokens as u32,
        dim: tokens.dim as u32,
        prefix: tokens.prefix as u32,
        base,
        out_base: (images.start * tokens.patches()) as u32,
        other_tokens: other.map_or(0, |other| other.tokens as u32),
        other_prefix: other.map_or(0, |other| other.prefix as u32),
        other_base,
        first_image: images.start as u32,
    }
}

fn groups(gpu: &Gpu, tokens: &Tokens, images: &Range<usize>) -> [u32; 3] {
    gpu.spread((images.len() * tokens.patches()).div_ceil(ROWS))
}
