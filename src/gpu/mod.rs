//! Hand-written WGSL for feature maps, on wgpu alone: it knows nothing of burn.
//!
//! Each type here stands for one file of `shaders/`. A [`Recording`] collects
//! dispatches and submits them together; [`Slice`]s are the buffers they work on.
//! [`maps`](crate::maps) lends it burn's tensors.
//!
//! The shaders need no more than WebGPU's default limits and no feature. Tensors
//! larger than one binding are worked through in groups of images.

mod buffers;
mod colormap;
mod context;
mod cosine_map;
mod gram;
mod low_rank_refine;
mod norm_quantile;
mod patch_norm;
mod recording;
mod tokens;

pub use buffers::Slice;
pub use colormap::{ColorMap, Drawing};
pub use context::Gpu;
pub use cosine_map::CosineMap;
pub use gram::GramMatrix;
pub use low_rank_refine::LowRankRefine;
pub use norm_quantile::{NormQuantile, Outliers};
pub use patch_norm::PatchNorm;
pub use recording::Recording;
pub use tokens::Tokens;
