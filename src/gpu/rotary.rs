use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static ROTARY: Shader<Params> = shader!("rotary", "rotary", [], [WORKGROUP]);
/// Pairs of channels per workgroup.
const WORKGROUP: usize = 64;

params! {
    /// Mirrors `Params` of shaders/rotary.wgsl.
    pub(super) struct Params {
        images: u32,
        tokens: u32,
        prefix: u32,
        heads: u32,
        head_dim: u32,
        interleaved: u32,
    }
}

/// Rotary positions of patch tokens, on queries, keys and values `[B, T, 3, H, d]`:
/// `shaders/rotary.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Rotary {
    /// Images, B.
    pub images: usize,
    /// Tokens of an image, T.
    pub tokens: usize,
    /// Class and register tokens, which have no position and stay as they are.
    pub prefix: usize,
    /// Heads, H.
    pub heads: usize,
    /// Channels of a head, d, even.
    pub head_dim: usize,
    /// Whether neighbouring channels turn together, rather than channels half a head apart.
    pub interleaved: bool,
}

impl Rotary {
    /// Rotates queries and keys in place by the tables `[P, d]` of sines and cosines.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the shapes do not fit,
    /// [`GpuLimit`](crate::Error::GpuLimit) where a slice exceeds a binding.
    pub fn record(
        &self,
        recording: &mut Recording,
        qkv: &Slice,
        [sines, cosines]: [&Slice; 2],
    ) -> Result<()> {
        let Self { images, tokens, prefix, heads, head_dim, interleaved } = *self;
        if !head_dim.is_multiple_of(2) {
            return Err(Error::shape("rotary", format!("the width {head_dim} of a head is odd")));
        }
        let patches = tokens.saturating_sub(prefix);
        qkv.check("rotary, queries, keys and values", 3 * images * tokens * heads * head_dim)?;
        for table in [sines, cosines] {
            table.check("rotary, tables", patches * head_dim)?;
        }
        let params = Params {
            images: images as u32,
            tokens: tokens as u32,
            prefix: prefix as u32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            interleaved: u32::from(interleaved),
        };
        // Of queries and of keys, half as many pairs as channels each.
        let pairs = images * patches * heads * head_dim;
        let groups = recording.gpu().spread(pairs.div_ceil(WORKGROUP));
        recording.dispatch(&ROTARY, &params, &[(1, qkv), (2, sines), (3, cosines)], groups)
    }
}
