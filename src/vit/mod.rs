//! Vision Transformers under timm's names: plain ViT (`augreg`) and DeiT-III.
//!
//! Field names are timm's state-dict keys, so that weights need no table of
//! renames. Tokens are `[B, T, D]`: class token, register tokens, then the
//! patch tokens in row-major order of the patch grid.

mod attention;
mod block;
mod config;
mod init;
mod mlp;
mod model;
mod patch_embed;
mod positions;
mod presets;

pub use attention::Attention;
pub use block::{Block, LayerScale};
pub use config::VitConfig;
pub use init::init_weights;
pub use mlp::Mlp;
pub use model::Vit;
pub use patch_embed::{PatchEmbed, PatchProjection};
pub use positions::resample_positions;
pub use presets::{Preset, nearest_name, preset, presets};
