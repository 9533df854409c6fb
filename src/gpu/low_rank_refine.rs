use bytemuck::NoUninit;

use super::context::Stage;
use super::{Recording, Slice, Tokens};
use crate::error::{Error, Result};

const SOURCE: &str = include_str!("../../shaders/low_rank_refine.wgsl");
static ONE: Stage =
    Stage { label: "low_rank_refine.low_rank_refine", source: SOURCE, entry: "low_rank_refine" };
pub(super) static FOUR: Stage =
    Stage { label: "low_rank_refine.low_rank_refine4", source: SOURCE, entry: "low_rank_refine4" };
/// Tokens that a workgroup takes.
const ROWS: usize = 32;

/// Mirrors `Params` of shaders/low_rank_refine.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    base: u32,
    out_base: u32,
    rank: u32,
}

/// The low-rank adapter `F + (F Φ_down) Φ_up`: `shaders/low_rank_refine.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct LowRankRefine;

impl LowRankRefine {
    /// The highest rank.
    pub const MAX_RANK: usize = 256;

    /// Tokens `[B, T, D]` with Φ_down `[D, rank]` and Φ_up `[rank, D]` to `out`
    /// `[B, T, D]`, which must be another buffer or part of it.
    ///
    /// # Errors
    /// [`Error::Config`] for a rank beyond 1 to 256,
    /// [`GpuLimit`](Error::GpuLimit) where one image exceeds a binding.
    pub fn record(
        recording: &mut Recording,
        tokens: &Tokens,
        down: &Slice,
        up: &Slice,
        rank: usize,
        out: &Slice,
    ) -> Result<()> {
        tokens.check("low_rank_refine")?;
        if rank == 0 || rank > Self::MAX_RANK {
            let most = Self::MAX_RANK;
            return Err(Error::config(format!("the rank is {rank}; it must be 1 to {most}")));
        }
        for weights in [down, up] {
            weights.check("low_rank_refine, adapter", tokens.dim * rank)?;
        }
        out.check("low_rank_refine, refined", tokens.images * tokens.image_elements())?;
        let gpu = recording.gpu();
        let image = tokens.image_elements();
        for images in gpu.groups_of_images("tokens", tokens.images, &[image])? {
            let elements = images.start * image..images.end * image;
            let (from, to) =
                (gpu.window(&tokens.slice, elements.clone()), gpu.window(out, elements));
            let params = Params {
                images: images.len() as u32,
                tokens: tokens.tokens as u32,
                dim: tokens.dim as u32,
                prefix: tokens.prefix as u32,
                base: from.base,
                out_base: to.base,
                rank: rank as u32,
            };
            let slices = [(1, &from.slice), (2, down), (3, up), (4, &to.slice)];
            let groups = gpu.spread((images.len() * tokens.tokens).div_ceil(ROWS));
            let fours = [tokens.dim as u32, rank as u32, from.base, to.base];
            let stage = if fours.iter().all(|n| n.is_multiple_of(4)) { &FOUR } else { &ONE };
            recording.dispatch(stage, &params, &slices, groups)?;
        }
        Ok(())
    }
}
