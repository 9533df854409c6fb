use bytemuck::NoUninit;

use super::context::Stage;
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static ATTENTION: Stage = Stage {
    label: "attention.attention",
    source: include_str!("../../shaders/attention.wgsl"),
    entry: "attention",
};
static ROTARY: Stage = Stage {
    label: "rotary.rotary",
    source: include_str!("../../shaders/rotary.wgsl"),
    entry: "rotary",
};
/// Queries that a workgroup takes, and pairs of channels that a workgroup turns.
const QUERIES: usize = 32;
const PAIRS: usize = 64;

/// Mirrors `Params` of shaders/attention.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Params {
    images: u32,
    tokens: u32,
    heads: u32,
    head_dim: u32,
}

/// Mirrors `Params` of shaders/rotary.wgsl.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct RotaryParams {
    images: u32,
    tokens: u32,
    prefix: u32,
    heads: u32,
    head_dim: u32,
}

/// Multi-head self-attention between its linear layers, for queries, keys and values
/// `[B, T, 3, H, d]`: `shaders/attention.wgsl` and `shaders/rotary.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// B.
    pub images: usize,
    /// T.
    pub tokens: usize,
    /// H.
    pub heads: usize,
    /// d, a multiple of 4 and at most [`MAX_HEAD_DIM`](Self::MAX_HEAD_DIM).
    pub head_dim: usize,
}

impl Attention {
    /// The most channels of a head.
    pub const MAX_HEAD_DIM: usize = 128;

    /// `[B, T, 3, H, d] -> [B, T, H d]`, scaled by 1 over the root of d.
    ///
    /// # Errors
    /// [`Error::Config`] where the shapes do not fit,
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

    /// Turns queries and keys of patch tokens, all but the first `prefix`, by their
    /// positions, in place. The tables of sines and cosines are `[P, d]`.
    ///
    /// # Errors
    /// As [`Attention::record`].
    pub fn turn(
        &self,
        recording: &mut Recording,
        qkv: &Slice,
        prefix: usize,
        [sines, cosines]: [&Slice; 2],
    ) -> Result<()> {
        self.check(qkv)?;
        let patches = self.tokens.saturating_sub(prefix);
        for table in [sines, cosines] {
            table.check("rotary, tables", patches * self.head_dim)?;
        }
        let params = RotaryParams {
            images: self.images as u32,
            tokens: self.tokens as u32,
            prefix: prefix as u32,
            heads: self.heads as u32,
            head_dim: self.head_dim as u32,
        };
        let pairs = self.images * patches * self.heads * self.head_dim;
        let groups = recording.gpu().spread(pairs.div_ceil(PAIRS));
        recording.dispatch(&ROTARY, &params, &[(1, qkv), (2, sines), (3, cosines)], groups)
    }

    fn elements(&self) -> usize {
        self.images * self.tokens * self.heads * self.head_dim
    }

    fn check(&self, qkv: &Slice) -> Result<()> {
        super::by_four("attention", self.head_dim)?;
        if self.head_dim > Self::MAX_HEAD_DIM {
            return Err(Error::config(format!(
                "attention: a head has {} channels, more than {}",
                self.head_dim,
                Self::MAX_HEAD_DIM
            )));
        }
        qkv.check("attention, queries, keys and values", 3 * self.elements())
    }
}
