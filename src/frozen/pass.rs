use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::borrowed::{BorrowedBlock, BorrowedVit};
use crate::error::{Error, Result};
use crate::gpu::{Activation, Attention, Gpu, Residual, Rotary, Slice, Swiglu, Unfold};
use crate::interop::{BorrowedBuffer, borrow, output, run};

/// Tokens leaving blocks: `[B, 3, H, W]` to `[B, T, D]` for each of `layers`.
pub(super) fn intermediate(
    gpu: &Gpu,
    weights: &BorrowedVit,
    image: Tensor<4>,
    layers: &[usize],
) -> Result<Vec<Tensor<3>>> {
    let Some(&last) = layers.iter().max() else {
        return Ok(Vec::new());
    };
    let pass = Pass::new(gpu, weights, image.dims()[0], image.device())?;
    let mut x = pass.embed(image)?;
    let mut found: Vec<Option<Tensor<3>>> = vec![None; layers.len()];
    for (index, block) in weights.blocks[..=last].iter().enumerate() {
        x = pass.block(block, &x)?;
        for (slot, &layer) in found.iter_mut().zip(layers) {
            if layer == index {
                *slot = Some(x.tensor.clone());
            }
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// Tokens leaving each of `blocks`, the first of which reads `tokens`.
pub(super) fn go_on(
    gpu: &Gpu,
    weights: &BorrowedVit,
    tokens: Tensor<3>,
    blocks: Range<usize>,
) -> Result<Vec<Tensor<3>>> {
    let pass = Pass::new(gpu, weights, tokens.dims()[0], tokens.device())?;
    let mut x = Stream { buffer: borrow(tokens.clone())?, tensor: tokens };
    let mut found = Vec::with_capacity(blocks.len());
    for block in &weights.blocks[blocks] {
        x = pass.block(block, &x)?;
        found.push(x.tensor.clone());
    }
    Ok(found)
}

/// One batch on its way through the blocks. What is computed between blocks shares its
/// memory over all of them.
struct Pass<'a> {
    gpu: &'a Gpu,
    weights: &'a BorrowedVit,
    device: Device,
    images: usize,
    /// B T.
    rows: usize,
    dim: usize,
    /// `[B, T, D]`: what a norm gives, what the heads give, what enters the MLP.
    normed: BorrowedBuffer,
    mixed: BorrowedBuffer,
    middle: Stream,
    /// `[B, T, 3 D]`.
    qkv: BorrowedBuffer,
    /// `[B, T, hidden]`, and half of it for a SwiGLU.
    hidden: BorrowedBuffer,
    gated: Option<BorrowedBuffer>,
}

/// Tokens `[B, T, D]` between two parts of a block.
struct Stream {
    tensor: Tensor<3>,
    buffer: BorrowedBuffer,
}

impl Stream {
    fn new(shape: [usize; 3], device: &Device) -> Result<Self> {
        let (tensor, buffer) = output(shape, device)?;
        Ok(Self { tensor, buffer })
    }
}

impl<'a> Pass<'a> {
    fn new(gpu: &'a Gpu, weights: &'a BorrowedVit, images: usize, device: Device) -> Result<Self> {
        let dim = weights.embed.columns();
        let wide = |width: usize| output([images, weights.tokens, width], &device).map(|out| out.1);
        let hidden = weights.blocks.iter().map(|block| block.fc1.columns()).max().unwrap_or(4);
        let gated = weights.blocks.iter().any(|block| block.is_gated());
        Ok(Self {
            normed: wide(dim)?,
            mixed: wide(dim)?,
            middle: Stream::new([images, weights.tokens, dim], &device)?,
            qkv: wide(3 * dim)?,
            hidden: wide(hidden)?,
            gated: gated.then(|| wide(hidden / 2)).transpose()?,
            gpu,
            weights,
            device,
            images,
            rows: images * weights.tokens,
            dim,
        })
    }

    fn stream(&self) -> Result<Stream> {
        Stream::new([self.images, self.weights.tokens, self.dim], &self.device)
    }

    /// The tokens entering block 0.
    fn embed(&self, image: Tensor<4>) -> Result<Stream> {
        let Self { weights, rows, .. } = self;
        let [images, channels, height, width] = image.dims();
        let (patch_size, prefix) = (weights.patch_size, weights.prefix);
        let unfold = Unfold { images, size: [height, width], patch_size, prefix };
        if channels != 3 || unfold.tokens() != weights.tokens {
            let reason = format!(
                "{channels} planes of {height}x{width} pixels are {} tokens of {patch_size}x{patch_size}, and the model takes {}",
                unfold.tokens(),
                weights.tokens
            );
            return Err(Error::shape("image", reason));
        }
        let image = borrow(image)?;
        let shape = [images, unfold.tokens(), unfold.inner()];
        let (_, unfolded) = output(shape, &self.device)?;
        let embedded = self.stream()?;
        let placed =
            Residual { slice: &weights.placed.slice, rows: weights.tokens, gain: &weights.ones };
        run(self.gpu, &self.device, |recording| {
            let out = &embedded.buffer.slice;
            unfold.record(recording, &image.slice, &unfolded.slice)?;
            weights.embed.shader().record_residual(recording, &unfolded.slice, *rows, placed, out)
        })?;
        let Some(norm) = &weights.norm_pre else {
            return Ok(embedded);
        };
        let normed = self.stream()?;
        run(self.gpu, &self.device, |recording| {
            norm.shader().record(recording, &embedded.buffer.slice, *rows, &normed.buffer.slice)
        })?;
        Ok(normed)
    }

    fn block(&self, block: &BorrowedBlock, x: &Stream) -> Result<Stream> {
        let result = self.stream()?;
        let Self { weights, rows, images, .. } = self;
        let [normed, mixed, qkv, hidden] =
            [&self.normed, &self.mixed, &self.qkv, &self.hidden].map(|buffer| &buffer.slice);
        let (x, middle, out) = (&x.buffer.slice, &self.middle.buffer.slice, &result.buffer.slice);
        let heads = Attention {
            images: *images,
            tokens: weights.tokens,
            heads: block.heads,
            head_dim: self.dim / block.heads,
        };
        run(self.gpu, &self.device, |recording| {
            block.norm1.shader().record(recording, x, *rows, normed)?;
            block.qkv.shader().record(recording, normed, *rows, Activation::None, qkv)?;
            if let Some([sines, cosines]) = &weights.rotary {
                let Attention { images, tokens, heads, head_dim } = heads;
                let (prefix, interleaved) = (weights.prefix, weights.interleaved);
                let rotary = Rotary { images, tokens, prefix, heads, head_dim, interleaved };
                rotary.record(recording, qkv, [sines, cosines])?;
            }
            heads.record(recording, qkv, mixed)?;
            let mut attended = mixed;
            if let Some(norm) = &block.attention_norm {
                norm.shader().record(recording, mixed, *rows, normed)?;
                attended = normed;
            }
            let residual = self.residual(x, &block.attention_gain);
            block.proj.shader().record_residual(recording, attended, *rows, residual, middle)?;
            block.norm2.shader().record(recording, middle, *rows, normed)?;
            let activation = block.activation();
            block.fc1.shader().record(recording, normed, *rows, activation, hidden)?;
            let mut inner = hidden;
            if let Some(gated) = &self.gated {
                let shape = [*rows, block.fc1.columns() / 2];
                Swiglu::record(recording, hidden, shape, &gated.slice)?;
                inner = &gated.slice;
                if let Some(norm) = &block.mlp_norm {
                    // The gate has been read, so its memory is free.
                    norm.shader().record(recording, inner, *rows, hidden)?;
                    inner = hidden;
                }
            }
            let residual = self.residual(middle, &block.mlp_gain);
            block.fc2.shader().record_residual(recording, inner, *rows, residual, out)
        })?;
        Ok(result)
    }

    /// The tokens that entered, to which LayerScale's gain, where there is one, adds.
    fn residual<'b>(&'b self, slice: &'b Slice, gain: &'b Option<BorrowedBuffer>) -> Residual<'b> {
        let gain = gain.as_ref().map_or(&self.weights.ones, |gain| &gain.slice);
        Residual { slice, rows: self.rows, gain }
    }
}
