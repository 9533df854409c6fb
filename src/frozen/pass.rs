use burn::tensor::{Device, Tensor};

use super::lent::{LentBlock, LentVit};
use crate::error::{Error, Result};
use crate::gpu::{Activation, Attention, Gpu, Residual, Slice, Swiglu, Unfold};
use crate::lending::{Lent, lend, output, run};

/// Tokens leaving blocks: `[B, 3, H, W]` to `[B, T, D]` for each of `layers`.
pub(super) fn intermediate(
    gpu: &Gpu,
    lent: &LentVit,
    image: Tensor<4>,
    layers: &[usize],
) -> Result<Vec<Tensor<3>>> {
    let Some(&last) = layers.iter().max() else {
        return Ok(Vec::new());
    };
    let pass = Pass::new(gpu, lent, &image)?;
    let mut x = pass.embed(image)?;
    let mut found: Vec<Option<Tensor<3>>> = vec![None; layers.len()];
    for (index, block) in lent.blocks[..=last].iter().enumerate() {
        x = pass.block(block, &x)?;
        for (slot, &layer) in found.iter_mut().zip(layers) {
            if layer == index {
                *slot = Some(x.tensor.clone());
            }
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// One batch on its way through the blocks. What is computed between blocks shares its
/// memory over all of them.
struct Pass<'a> {
    gpu: &'a Gpu,
    lent: &'a LentVit,
    device: Device,
    images: usize,
    /// B T.
    rows: usize,
    dim: usize,
    unfold: Unfold,
    /// `[B, T, D]`: what a norm gives, what the heads give, what enters the MLP.
    normed: Lent,
    mixed: Lent,
    middle: Stream,
    /// `[B, T, 3 D]`.
    qkv: Lent,
    /// `[B, T, hidden]`, and half of it for a SwiGLU.
    hidden: Lent,
    gated: Option<Lent>,
}

/// Tokens `[B, T, D]` between two parts of a block.
struct Stream {
    tensor: Tensor<3>,
    lent: Lent,
}

impl Stream {
    fn new(shape: [usize; 3], device: &Device) -> Result<Self> {
        let (tensor, lent) = output(shape, device)?;
        Ok(Self { tensor, lent })
    }
}

impl<'a> Pass<'a> {
    fn new(gpu: &'a Gpu, lent: &'a LentVit, image: &Tensor<4>) -> Result<Self> {
        let [images, channels, height, width] = image.dims();
        let (patch_size, prefix) = (lent.patch_size, lent.prefix);
        let size = [height, width];
        let unfold = Unfold { images, size, patch_size, prefix };
        if channels != 3 || unfold.tokens() != lent.tokens {
            return Err(Error::config(format!(
                "{channels} planes of {height}x{width} pixels are {} tokens of {patch_size}x{patch_size}, and the model takes {}",
                unfold.tokens(),
                lent.tokens
            )));
        }
        let device = image.device();
        let dim = lent.embed.columns();
        let wide = |width: usize| output([images, lent.tokens, width], &device).map(|out| out.1);
        let hidden = lent.blocks.iter().map(|block| block.fc1.columns()).max().unwrap_or(4);
        let gated = lent.blocks.iter().any(|block| block.is_gated());
        Ok(Self {
            normed: wide(dim)?,
            mixed: wide(dim)?,
            middle: Stream::new([images, lent.tokens, dim], &device)?,
            qkv: wide(3 * dim)?,
            hidden: wide(hidden)?,
            gated: gated.then(|| wide(hidden / 2)).transpose()?,
            gpu,
            lent,
            device,
            images,
            rows: images * lent.tokens,
            dim,
            unfold,
        })
    }

    fn stream(&self) -> Result<Stream> {
        Stream::new([self.images, self.lent.tokens, self.dim], &self.device)
    }

    /// The tokens entering block 0.
    fn embed(&self, image: Tensor<4>) -> Result<Stream> {
        let image = lend(image)?;
        let shape = [self.images, self.unfold.tokens(), self.unfold.inner()];
        let (_, unfolded) = output(shape, &self.device)?;
        let embedded = self.stream()?;
        let Self { lent, rows, .. } = self;
        let placed = Residual { slice: &lent.placed.slice, rows: lent.tokens, gain: &lent.ones };
        run(self.gpu, &self.device, |recording| {
            let out = &embedded.lent.slice;
            self.unfold.record(recording, &image.slice, &unfolded.slice)?;
            lent.embed.shader().record_residual(recording, &unfolded.slice, *rows, placed, out)
        })?;
        let Some(norm) = &lent.norm_pre else {
            return Ok(embedded);
        };
        let normed = self.stream()?;
        run(self.gpu, &self.device, |recording| {
            norm.shader().record(recording, &embedded.lent.slice, *rows, &normed.lent.slice)
        })?;
        Ok(normed)
    }

    fn block(&self, block: &LentBlock, x: &Stream) -> Result<Stream> {
        let result = self.stream()?;
        let Self { lent, rows, images, .. } = self;
        let [normed, mixed, qkv, hidden] =
            [&self.normed, &self.mixed, &self.qkv, &self.hidden].map(|lent| &lent.slice);
        let (x, middle, out) = (&x.lent.slice, &self.middle.lent.slice, &result.lent.slice);
        let heads = Attention {
            images: *images,
            tokens: lent.tokens,
            heads: block.heads,
            head_dim: self.dim / block.heads,
        };
        run(self.gpu, &self.device, |recording| {
            block.norm1.shader().record(recording, x, *rows, normed)?;
            block.qkv.shader().record(recording, normed, *rows, Activation::None, qkv)?;
            if let Some([sines, cosines]) = &lent.rotary {
                heads.turn(recording, qkv, lent.prefix, [sines, cosines])?;
            }
            heads.record(recording, qkv, mixed)?;
            let onto = self.onto(x, &block.attention_gain);
            block.proj.shader().record_residual(recording, mixed, *rows, onto, middle)?;
            block.norm2.shader().record(recording, middle, *rows, normed)?;
            let activation = block.activation();
            block.fc1.shader().record(recording, normed, *rows, activation, hidden)?;
            let mut inner = hidden;
            if let Some(gated) = &self.gated {
                let shape = [*rows, block.fc1.columns() / 2];
                Swiglu::record(recording, hidden, shape, &gated.slice)?;
                inner = &gated.slice;
            }
            let onto = self.onto(middle, &block.mlp_gain);
            block.fc2.shader().record_residual(recording, inner, *rows, onto, out)
        })?;
        Ok(result)
    }

    /// Adds to the tokens that entered, by LayerScale's gain where there is one.
    fn onto<'b>(&'b self, slice: &'b Slice, gain: &'b Option<Lent>) -> Residual<'b> {
        let gain = gain.as_ref().map_or(&self.lent.ones, |gain| &gain.slice);
        Residual { slice, rows: self.rows, gain }
    }
}
