use super::shader::{Shader, params, shader};
use super::tokens::TokenBatch;
use super::{Recording, Slice, Tokens};
use crate::error::{Error, Result};

pub(super) static ONE: Shader<Params> = shader!("low_rank_refine", "low_rank_refine", [], [ROWS]);
pub(super) static FOUR: Shader<Params> =
    shader!("low_rank_refine", "low_rank_refine", [by_four], [ROWS]);
/// Tokens per workgroup.
const ROWS: usize = 32;

params! {
    /// Mirrors `Params` of shaders/low_rank_refine.wgsl.
    pub(super) struct Params {
        batch: TokenBatch,
        rank: u32,
    }
}

/// The low-rank adapter `F + (F Φ_down) Φ_up`: `shaders/low_rank_refine.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct LowRankRefine;

impl LowRankRefine {
    /// Highest rank.
    pub const MAX_RANK: usize = 256;

    /// Tokens `[B, T, D]` with Φ_down `[D, rank]` and Φ_up `[rank, D]` to `out`
    /// `[B, T, D]`, which must be another buffer or part of it.
    ///
    /// # Errors
    /// [`Error::Setting`] for a rank beyond 1 to [`MAX_RANK`](Self::MAX_RANK),
    /// [`Shape`](Error::Shape) where the adapter does not fit,
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
            let expected = format!("it must lie between 1 and {}", Self::MAX_RANK);
            return Err(Error::setting("rank", rank, expected));
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
            let batch = tokens.batch(&images, from.base, to.base);
            let params = Params { batch, rank: rank as u32 };
            let slices = [(1, &from.slice), (2, down), (3, up), (4, &to.slice)];
            let groups = gpu.spread((images.len() * tokens.tokens).div_ceil(ROWS));
            let fours = [tokens.dim as u32, rank as u32, from.base, to.base];
            let stage = if fours.iter().all(|n| n.is_multiple_of(4)) { &FOUR } else { &ONE };
            recording.dispatch(stage, &params, &slices, groups)?;
        }
        Ok(())
    }
}
