use std::ops::Range;

use super::recording::too_large;
use super::shader::{Shader, params, shader};
use super::tokens::TokenBatch;
use super::{Gpu, PatchNorm, Recording, Slice, Tokens};
use crate::error::{Error, Result};

pub(super) static GRAM: Shader<Params> = shader!("gram", "gram", [], [TILE]);
pub(super) static DISTANCE: Shader<Params> = shader!("gram", "gram_distance", [distance], [TILE]);
pub(super) static SUM: Shader<Params> = shader!("gram", "gram_sum", [distance], [TILE]);
/// Side of a workgroup's tile.
const TILE: usize = 64;

params! {
    /// Mirrors `Params` of shaders/gram.wgsl.
    pub(super) struct Params {
        a: TokenBatch,
        c: TokenBatch,
        tiles: u32,
    }
}

/// Gram matrices of unit patch tokens: `shaders/gram.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct GramMatrix;

impl GramMatrix {
    /// `[B, T, D] -> [B, P, P]`.
    ///
    /// # Errors
    /// [`GpuLimit`](Error::GpuLimit) where one image exceeds a binding.
    pub fn record(recording: &mut Recording, tokens: &Tokens, out: &Slice) -> Result<()> {
        let gpu = recording.gpu();
        let norms = norms(recording, tokens)?;
        let (image, matrix) = (tokens.image_elements(), tokens.patches() * tokens.patches());
        out.check("gram, matrices", tokens.images * matrix)?;
        for images in parts(gpu, tokens.images, &[image, matrix])? {
            let from = gpu.window(&tokens.slice, images.start * image..images.end * image);
            let to = gpu.window(out, images.start * matrix..images.end * matrix);
            let batch = tokens.batch(&images, from.base, to.base);
            let params = Params { a: batch, c: batch, tiles: tiles(tokens) as u32 };
            let slices = [(1, &from.slice), (2, &norms), (6, &to.slice)];
            recording.dispatch(&GRAM, &params, &slices, groups(gpu, tokens, &images)?)?;
        }
        Ok(())
    }

    /// Mean squared difference of two Gram matrices: two batches `[B, T, D]` to `[B]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes differ, [`GpuLimit`](Error::GpuLimit)
    /// where one image exceeds a binding.
    pub fn distance(recording: &mut Recording, a: &Tokens, b: &Tokens, out: &Slice) -> Result<()> {
        let shape = |x: &Tokens| [x.images, x.tokens, x.dim, x.prefix];
        if shape(a) != shape(b) {
            let reason = format!("cannot compare {:?} with {:?} tokens", shape(a), shape(b));
            return Err(Error::shape("gram", reason));
        }
        out.check("gram, differences", a.images)?;
        let gpu = recording.gpu();
        let (norms_a, norms_b) = (norms(recording, a)?, norms(recording, b)?);
        let tiles = tiles(a);
        let partial = gpu.allocate("gram.partial", a.images * tiles * (tiles + 1) / 2)?;
        let image = a.image_elements();
        for images in parts(gpu, a.images, &[image])? {
            let elements = images.start * image..images.end * image;
            let one = gpu.window(&a.slice, elements.clone());
            let two = gpu.window(&b.slice, elements);
            let params = Params {
                a: a.batch(&images, one.base, 0),
                c: b.batch(&images, two.base, 0),
                tiles: tiles as u32,
            };
            let slices =
                [(1, &one.slice), (2, &norms_a), (3, &two.slice), (4, &norms_b), (5, &partial)];
            recording.dispatch(&DISTANCE, &params, &slices, groups(gpu, a, &images)?)?;
        }
        let all = a.batch(&(0..a.images), 0, 0);
        let params = Params { a: all, c: all, tiles: tiles as u32 };
        recording.dispatch(&SUM, &params, &[(5, &partial), (6, out)], gpu.spread(a.images))
    }
}

fn norms(recording: &mut Recording, tokens: &Tokens) -> Result<Slice> {
    tokens.check("gram")?;
    let norms = recording.gpu().allocate("gram.norms", tokens.images * tokens.patches())?;
    PatchNorm::record(recording, tokens, &norms)?;
    Ok(norms)
}

/// Groups of images that fit a binding and the dispatch's third dimension.
fn parts(gpu: &Gpu, images: usize, elements: &[usize]) -> Result<Vec<Range<usize>>> {
    let most = gpu.limits().max_compute_workgroups_per_dimension as usize;
    let parts = gpu.groups_of_images("Gram matrix", images, elements)?;
    let split = parts.into_iter().flat_map(|part| {
        let end = part.end;
        part.step_by(most).map(move |start| start..(start + most).min(end))
    });
    Ok(split.collect())
}

/// Tiles along one side of the matrix.
fn tiles(tokens: &Tokens) -> usize {
    tokens.patches().div_ceil(TILE)
}

fn groups(gpu: &Gpu, tokens: &Tokens, images: &Range<usize>) -> Result<[u32; 3]> {
    let tiles = tiles(tokens) as u32;
    let limit = gpu.limits().max_compute_workgroups_per_dimension;
    if tiles > limit {
        return Err(too_large("Gram matrix", tiles.into(), limit.into()));
    }
    Ok([tiles, tiles, images.len() as u32])
}
