use std::ops::Range;

use super::recording::too_large;
use super::shader::params;
use super::{Gpu, Slice};
use crate::error::{Error, Result};

/// A batch of tokens `[B, T, D]`, contiguous f32. The first `prefix` tokens of an image
/// (class, registers) are not patches.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// The values, `B T D` of them.
    pub slice: Slice,
    /// Images, B.
    pub images: usize,
    /// Tokens of an image, T.
    pub tokens: usize,
    /// Width, D.
    pub dim: usize,
    /// Class and register tokens.
    pub prefix: usize,
}

impl Tokens {
    /// Patch tokens of an image, P.
    pub fn patches(&self) -> usize {
        self.tokens - self.prefix
    }

    /// Elements of one image.
    pub(super) fn image_elements(&self) -> usize {
        self.tokens * self.dim
    }

    /// The shader's description of these images, which start at element `base` of the
    /// bound buffer and at `out_base` of the output.
    pub(super) fn batch(&self, images: &Range<usize>, base: u32, out_base: u32) -> TokenBatch {
        TokenBatch {
            images: images.len() as u32,
            first_image: images.start as u32,
            tokens: self.tokens as u32,
            dim: self.dim as u32,
            prefix: self.prefix as u32,
            patches: self.patches() as u32,
            base,
            out_base,
        }
    }

    pub(super) fn check(&self, what: &str) -> Result<()> {
        if self.prefix >= self.tokens || self.dim == 0 || self.images == 0 {
            return Err(Error::shape(what, "the tokens hold no patch"));
        }
        self.slice.check(what, self.images * self.image_elements())
    }
}

params! {
    /// Mirrors `TokenBatch` of shaders/shared/token_batch.wgsl.
    pub(super) struct TokenBatch {
        images: u32,
        first_image: u32,
        tokens: u32,
        dim: u32,
        prefix: u32,
        patches: u32,
        base: u32,
        out_base: u32,
    }
}

/// Part of a slice that fits one binding, and where its content begins.
pub(super) struct Window {
    pub(super) slice: Slice,
    /// Elements before the content, as bindings begin at aligned offsets.
    pub(super) base: u32,
}

impl Gpu {
    /// The elements `range` of a slice as a binding.
    pub(super) fn window(&self, slice: &Slice, range: Range<usize>) -> Window {
        let alignment = u64::from(self.limits().min_storage_buffer_offset_alignment);
        let first = slice.offset + 4 * range.start as u64;
        let offset = first - first % alignment;
        let size = 4 * range.len() as u64 + (first - offset);
        let base = ((first - offset) / 4) as u32;
        Window { slice: Slice { buffer: slice.buffer.clone(), offset, size }, base }
    }

    /// Splits a batch into ranges of images whose tensors fit one binding; `elements` are
    /// those of one image in each tensor.
    pub(super) fn groups_of_images(
        &self,
        what: &str,
        images: usize,
        elements: &[usize],
    ) -> Result<Vec<Range<usize>>> {
        let limits = self.limits();
        let alignment = u64::from(limits.min_storage_buffer_offset_alignment);
        // Shaders count elements in 32 bits.
        let limit = limits.max_storage_buffer_binding_size.min(1 << 33);
        let largest = 4 * elements.iter().copied().max().unwrap_or(1) as u64;
        let at_once = (limit.saturating_sub(alignment) / largest) as usize;
        if at_once == 0 {
            return Err(too_large(what, largest, limit));
        }
        let starts = (0..images).step_by(at_once);
        Ok(starts.map(|start| start..(start + at_once).min(images)).collect())
    }

    /// Workgroups for this many pieces of work, over two dimensions if one has too few;
    /// shaders/shared/spread.wgsl is its inverse.
    pub(super) fn spread(&self, pieces: usize) -> [u32; 3] {
        let limit = self.limits().max_compute_workgroups_per_dimension as usize;
        let x = pieces.clamp(1, limit);
        [x as u32, pieces.div_ceil(x).max(1) as u32, 1]
    }
}
