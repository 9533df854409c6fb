//! Vision Transformers under timm's names: plain ViT (`augreg`, DINO, MAE),
//! DeiT-III, DINOv2, CLIP and OpenCLIP image towers, SigLIP, DINOv3, EVA-02 and Perception
//! Encoder.
//!
//! From leaf to root: `config` (the shape), `patch_embed`, `positions`, `attention`,
//! `mlp`, `block`, `pooling`, `model` (the whole), `init` and `presets`.
//!
//! Field names are timm's state-dict keys, so that weights need no table of
//! renames. Tokens are `[B, T, D]`: the class token where there is one, register
//! tokens, then patch tokens in row-major order of the patch grid.

mod attention;
mod block;
mod config;
mod init;
mod mlp;
mod model;
mod patch_embed;
mod pooling;
mod positions;
mod presets;
#[cfg(not(target_family = "wasm"))]
mod range;
mod recompute;

pub use crate::ops::Precision;
pub use attention::Attention;
pub use block::{Block, LayerScale};
pub use config::{Activation, FinalNorm, Pooling, Positions, QkvBias, VitConfig};
pub use init::init_weights;
pub use mlp::Mlp;
pub use model::Vit;
pub use patch_embed::{PatchEmbed, PatchProjection};
pub use pooling::AttnPool;
pub use positions::{Rope, resample_positions, rotary_tables};
pub(crate) use presets::Statistics;
pub use presets::{Family, Preset, nearest_name, preset, presets};
pub use recompute::Recompute;
