use std::iter;

use burn::nn;
use burn::tensor::{DType, Tensor};

use crate::error::Result;
use crate::gpu::{Activation, Gpu, LayerNorm, Linear, Slice};
use crate::interop::{BorrowedBuffer, borrow, borrow_as_stored};
use crate::vit::{self, Block, Vit};

/// A model's weights as the shaders take them: burn's own memory.
#[derive(Debug)]
pub(super) struct BorrowedVit {
    pub(super) embed: Matrix,
    /// Positions, class and register tokens and the embedding's bias: what an embedded
    /// image is added to, `[T, D]`.
    pub(super) placed: BorrowedBuffer,
    /// Ones, `[D]`: the gain where there is no LayerScale.
    pub(super) ones: Slice,
    pub(super) norm_pre: Option<Norm>,
    pub(super) blocks: Vec<BorrowedBlock>,
    /// Sines and cosines of rotary positions, `[P, d]` each.
    pub(super) rotary: Option<[Slice; 2]>,
    /// Whether neighbouring channels turn together.
    pub(super) interleaved: bool,
    /// T.
    pub(super) tokens: usize,
    pub(super) prefix: usize,
    pub(super) patch_size: usize,
}

#[derive(Debug)]
pub(super) struct BorrowedBlock {
    pub(super) norm1: Norm,
    pub(super) qkv: Matrix,
    /// On what the heads give, where the family has it.
    pub(super) attention_norm: Option<Norm>,
    pub(super) proj: Matrix,
    pub(super) attention_gain: Option<BorrowedBuffer>,
    pub(super) norm2: Norm,
    pub(super) fc1: Matrix,
    /// On what leaves the gate, where the family has it.
    pub(super) mlp_norm: Option<Norm>,
    pub(super) fc2: Matrix,
    pub(super) mlp_gain: Option<BorrowedBuffer>,
    mlp: vit::Activation,
    pub(super) heads: usize,
}

#[derive(Debug)]
pub(super) struct Norm {
    gamma: BorrowedBuffer,
    beta: BorrowedBuffer,
    dim: usize,
    epsilon: f32,
}

#[derive(Debug)]
pub(super) struct Matrix {
    weight: BorrowedBuffer,
    bias: BorrowedBuffer,
    inner: usize,
    columns: usize,
    half: bool,
}

/// The patch tokens that a model's positions are for, P.
pub(super) fn patches(vit: &Vit) -> usize {
    if let Some(rope) = vit.blocks.first().and_then(|block| block.attn.rope()) {
        return rope.patches();
    }
    let embedded = if vit.no_embed_class() { 0 } else { vit.prefix_tokens() };
    let positions = vit.pos_embed.as_ref().map_or(0, |positions| positions.dims()[1]);
    positions.saturating_sub(embedded)
}

impl BorrowedVit {
    pub(super) fn new(vit: &Vit, gpu: &Gpu) -> Result<Self> {
        let [dim, channels, patch_size, _] = vit.patch_embed.proj.weight.dims();
        let inner = channels * patch_size * patch_size;
        let weight = vit.patch_embed.proj.weight.val().reshape([dim, inner]).transpose();
        let device = vit.device();
        let none = Tensor::<1>::zeros([dim], &device);
        let rope = vit.blocks.first().and_then(|block| block.attn.rope());
        let prefix = vit.prefix_tokens();
        let patches = patches(vit);
        let bias = match &vit.patch_embed.proj.bias {
            Some(bias) => bias.val(),
            None => none.clone(),
        };
        let rotary = match rope.map(|rope| rope.tables()) {
            Some([sines, cosines]) => {
                Some([gpu.upload("sines", sines)?, gpu.upload("cosines", cosines)?])
            }
            None => None,
        };
        let epsilon = vit.norm_eps() as f32;
        Ok(Self {
            embed: Matrix::new(weight, none)?,
            placed: borrow(vit.place(bias.reshape([1, 1, dim]).expand([1, patches, dim])))?,
            ones: gpu.upload("ones", &iter::repeat_n(1.0_f32, dim).collect::<Vec<_>>())?,
            norm_pre: vit.norm_pre.as_ref().map(|norm| Norm::new(norm, epsilon)).transpose()?,
            blocks: vit
                .blocks
                .iter()
                .map(|block| BorrowedBlock::new(block, epsilon))
                .collect::<Result<_>>()?,
            rotary,
            interleaved: rope.is_some_and(|rope| rope.is_interleaved()),
            tokens: prefix + patches,
            prefix,
            patch_size,
        })
    }
}

impl BorrowedBlock {
    fn new(block: &Block, epsilon: f32) -> Result<Self> {
        let qkv = match block.attn.separate_bias() {
            Some(bias) => Matrix::new(block.attn.qkv.weight.val(), bias)?,
            None => Matrix::of(&block.attn.qkv)?,
        };
        let norm = |norm: &Option<nn::LayerNorm>| {
            norm.as_ref().map(|norm| Norm::new(norm, epsilon)).transpose()
        };
        Ok(Self {
            norm1: Norm::new(&block.norm1, epsilon)?,
            qkv,
            attention_norm: norm(&block.attn.norm)?,
            proj: Matrix::of(&block.attn.proj)?,
            attention_gain: block.attention_gain().map(borrow).transpose()?,
            norm2: Norm::new(&block.norm2, epsilon)?,
            fc1: Matrix::of(&block.mlp.fc1)?,
            mlp_norm: norm(&block.mlp.norm)?,
            fc2: Matrix::of(&block.mlp.fc2)?,
            mlp_gain: block.mlp_gain().map(borrow).transpose()?,
            mlp: block.mlp.activation(),
            heads: block.attn.heads(),
        })
    }

    /// Whether the MLP is gated.
    pub(super) fn is_gated(&self) -> bool {
        self.mlp.is_gated()
    }

    /// What follows `fc1` in its own shader; a SwiGLU has one of its own.
    pub(super) fn activation(&self) -> Activation {
        match self.mlp {
            vit::Activation::Gelu => Activation::Gelu,
            vit::Activation::GeluTanh => Activation::GeluTanh,
            vit::Activation::QuickGelu => Activation::QuickGelu,
            vit::Activation::Swiglu => Activation::None,
        }
    }
}

impl Norm {
    fn new(norm: &nn::LayerNorm, epsilon: f32) -> Result<Self> {
        let gamma = norm.gamma.val();
        let beta = norm.beta.as_ref().map_or_else(|| gamma.zeros_like(), |beta| beta.val());
        let dim = gamma.dims()[0];
        Ok(Self { gamma: borrow(gamma)?, beta: borrow(beta)?, dim, epsilon })
    }

    pub(super) fn shader(&self) -> LayerNorm<'_> {
        let Self { gamma, beta, dim, epsilon } = self;
        LayerNorm { gamma: &gamma.slice, beta: &beta.slice, dim: *dim, epsilon: *epsilon }
    }
}

impl Matrix {
    fn of(linear: &nn::Linear) -> Result<Self> {
        let weight = linear.weight.val();
        let [_, columns] = weight.dims();
        let bias = match &linear.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([columns], &weight.device()),
        };
        Self::new(weight, bias)
    }

    fn new(weight: Tensor<2>, bias: Tensor<1>) -> Result<Self> {
        let [inner, columns] = weight.dims();
        // A vector is never kept in half precision alone.
        let half = weight.dtype() == DType::F16 && bias.dtype() == DType::F32;
        let weight = if half { borrow_as_stored(weight)? } else { borrow(weight)? };
        Ok(Self { weight, bias: borrow(bias)?, inner, columns, half })
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn shader(&self) -> Linear<'_> {
        Linear {
            weight: &self.weight.slice,
            bias: &self.bias.slice,
            inner: self.inner,
            columns: self.columns,
            half: self.half,
        }
    }
}
