use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static ATTENTION: Shader<Params> =
    shader!("attention", "attention", [], [QUERIES, MAX_HEAD_DIM]);
/// Queries per workgroup.
const QUERIES: usize = 32;
const MAX_HEAD_DIM: usize = 128;

params! {
    /// Mirrors `Params` of shaders/attention.wgsl.
    pub(super) struct Params {
        images: u32,
        tokens: u32,
        heads: u32,
        head_dim: u32,
    }
}

/// Multi-head self-attention between its linear layers, for queries, keys and values
/// `[B, T, 3, H, d]`: `shaders/attention.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Images, B.
    pub images: usize,
    /// Tokens of an image, T.
    pub tokens: usize,
    /// Heads, H.
    pub heads: usize,
    /// Channels of a head, d: a multiple of 4 and at most [`MAX_HEAD_DIM`](Self::MAX_HEAD_DIM).
    pub head_dim: usize,
}

impl Attention {
    /// Most channels of a head.
    pub const MAX_HEAD_DIM: usize = MAX_HEAD_DIM;

    /// `softmax(q kᵀ / sqrt(d)) v` for each head: `[B, T, 3, H, d] -> [B, T, H d]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit,
    /// [`GpuLimit`](Error::GpuLimit) where a slice exceeds a binding.
    pub fn record(&self, recording: &mut Recording, qkv: &Slice, out: &Slice) -> Result<()> {
        self.check(qkv)?;
        out.check("attention, output", self.elements())?;
        let params = Params {
            images: self.images as u32,
            tokens: self.tokens as u32,
            heads: self.heads as u32,
            head_dim: self.head_dim as u32,
        };
        let pieces = self.images * self.heads * self.tokens.div_ceil(QUERIES);
        let groups = recording.gpu().spread(pieces);
        recording.dispatch(&ATTENTION, &params, &[(1, qkv), (2, out)], groups)
    }

    fn elements(&self) -> usize {
        self.images * self.tokens * self.heads * self.head_dim
    }

    fn check(&self, qkv: &Slice) -> Result<()> {
        super::by_four("attention", self.head_dim)?;
        if self.head_dim > Self::MAX_HEAD_DIM {
            let reason = format!("a head has {} channels, more than {MAX_HEAD_DIM}", self.head_dim);
            return Err(Error::shape("attention", reason));
        }
        qkv.check("attention, queries, keys and values", 3 * self.elements())
    }
}
