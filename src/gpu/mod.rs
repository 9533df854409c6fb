//! Hand-written WGSL for feature maps and a ViT's forward pass, on wgpu alone, without
//! burn.
//!
//! Each operation here is a file of `shaders/`. A [`Recording`] collects
//! dispatches and submits them together; [`Slice`]s are the buffers they work on.
//! [`maps`](crate::maps) and [`frozen`](crate::frozen) run it on burn's tensors.
//!
//! A shader's text is composed of its file, the snippets of `shaders/shared` that it
//! imports and the host's constants; [`shaders`] gives all of them.
//!
//! The shaders need WebGPU's default limits and no optional feature. A batch larger than
//! one binding is split into groups of images.

mod attention;
mod buffers;
mod clock;
mod colormap;
mod compose;
mod context;
mod cosine_map;
mod gated_refine;
mod gram;
mod layer_norm;
mod linear;
mod low_rank_refine;
mod norm_quantile;
mod patch_norm;
mod recording;
mod rotary;
mod shader;
mod swiglu;
mod table;
mod tokens;
mod unfold;

pub use attention::Attention;
pub use buffers::Slice;
pub use colormap::{ColorMap, Drawing};
pub use context::Gpu;
pub use cosine_map::CosineMap;
pub use gated_refine::GatedRefine;
pub use gram::GramMatrix;
pub use layer_norm::LayerNorm;
pub use linear::{Activation, Linear, Residual};
pub use low_rank_refine::LowRankRefine;
pub use norm_quantile::{NormQuantile, Outliers};
pub use patch_norm::PatchNorm;
pub use recording::Recording;
pub use rotary::Rotary;
pub use swiglu::Swiglu;
pub use table::{ParamField, ShaderText, shaders};
pub use tokens::Tokens;
pub use unfold::Unfold;

use crate::error::{Error, Result};

/// Refuses a width that is not a multiple of 4: the shaders read four values at a time.
fn by_four(what: &str, size: usize) -> Result<()> {
    match size {
        0 => Err(Error::shape(what, "the width is 0")),
        _ if size.is_multiple_of(4) => Ok(()),
        _ => Err(Error::shape(what, format!("the width {size} is not a multiple of 4"))),
    }
}
