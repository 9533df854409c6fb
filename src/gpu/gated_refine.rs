use super::shader::{Shader, params, shader};
use super::tokens::TokenBatch;
use super::{Recording, Slice, Tokens};
use crate::error::{Error, Result};

pub(super) static ONE: Shader<Params> =
    shader!("gated_refine", "gated_refine", [], [ROWS, MAX_RANK]);
pub(super) static FOUR: Shader<Params> =
    shader!("gated_refine", "gated_refine", [by_four], [ROWS, MAX_RANK]);
/// Tokens per workgroup.
const ROWS: usize = 8;
const MAX_RANK: usize = 256;

params! {
    /// Mirrors `Params` of shaders/gated_refine.wgsl.
    pub(super) struct Params {
        batch: TokenBatch,
        rank: u32,
        class_token: u32,
    }
}

/// The closed form's adapter `F + g (F − c) Φ_down Φ_up`, with g = 1 where
/// `|(F − c) · Φ_up_j| > limit_j` for any j, else 0: `shaders/gated_refine.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct GatedRefine<'a> {
    /// Φ_down `[D, rank]`.
    pub down: &'a Slice,
    /// Φ_up `[rank, D]`.
    pub up: &'a Slice,
    /// c `[D]`.
    pub centre: &'a Slice,
    /// `[rank]`.
    pub limit: &'a Slice,
    /// Directions.
    pub rank: usize,
    /// Whether token 0 is refined as patch tokens are; the other tokens before the patches
    /// never are.
    pub class_token: bool,
}

impl GatedRefine<'_> {
    /// Highest rank.
    pub const MAX_RANK: usize = MAX_RANK;

    /// Tokens `[B, T, D]` to `out` `[B, T, D]`, which must be another buffer or part of it.
    ///
    /// # Errors
    /// [`Error::Setting`] for a rank beyond 1 to [`MAX_RANK`](Self::MAX_RANK),
    /// [`Shape`](Error::Shape) where the adapter does not fit,
    /// [`GpuLimit`](Error::GpuLimit) where one image exceeds a binding.
    pub fn record(&self, recording: &mut Recording, tokens: &Tokens, out: &Slice) -> Result<()> {
        let Self { down, up, centre, limit, rank, class_token } = *self;
        tokens.check("gated_refine")?;
        if rank == 0 || rank > MAX_RANK {
            let expected = format!("it must lie between 1 and {MAX_RANK}");
            return Err(Error::setting("rank", rank, expected));
        }
        let sizes = [tokens.dim * rank, tokens.dim * rank, tokens.dim, rank];
        for (part, size) in [down, up, centre, limit].into_iter().zip(sizes) {
            part.check("gated_refine, adapter", size)?;
        }
        out.check("gated_refine, refined", tokens.images * tokens.image_elements())?;
        let gpu = recording.gpu();
        let image = tokens.image_elements();
        for images in gpu.groups_of_images("tokens", tokens.images, &[image])? {
            let elements = images.start * image..images.end * image;
            let (from, to) =
                (gpu.window(&tokens.slice, elements.clone()), gpu.window(out, elements));
            let batch = tokens.batch(&images, from.base, to.base);
            let params = Params { batch, rank: rank as u32, class_token: class_token.into() };
            let slices =
                [(1, &from.slice), (2, down), (3, up), (4, centre), (5, limit), (6, &to.slice)];
            let groups = gpu.spread((images.len() * tokens.tokens).div_ceil(ROWS));
            let fours = [tokens.dim as u32, from.base, to.base];
            let stage = if fours.iter().all(|n| n.is_multiple_of(4)) { &FOUR } else { &ONE };
            recording.dispatch(stage, &params, &slices, groups)?;
        }
        Ok(())
    }
}
