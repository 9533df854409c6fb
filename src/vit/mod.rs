//! Vision Transformers under timm's names: plain ViT (`augreg`, DINO, MAE),
//! DeiT-III, DINOv2, CLIP and OpenCLIP image towers, SigLIP and DINOv3.
//!
//! Field names are timm's state-dict keys, so that weights need no table of
//! renames. Tokens are `[B, T, D]`: class token where there is
//! one, register tokens, then the patch tokens in row-major order of the patch grid.

mod attention;
mod attn_pool;
mod block;
mod config;
mod init;
mod mlp;
mod model;
mod patch_embed;
mod pooling;
mod positions;
mod preset_table;
mod presets;
mod rope;
mod swiglu;

pub use attention::{Attention, QkvBias};
pub use attn_pool::AttnPool;
pub use block::{Block, LayerScale};
pub use config::{Positions, VitConfig};
pub use init::init_weights;
pub use mlp::{Mlp, MlpKind};
pub use model::Vit;
pub use patch_embed::{PatchEmbed, PatchProjection};
pub use pooling::Pooling;
pub use positions::resample_positions;
pub(crate) use presets::Statistics;
pub use presets::{Family, Preset, nearest_name, preset, presets};
pub use rope::{Rope, rotary_tables};
