use serde::{Deserialize, Serialize};

use super::preset_table::PRESETS;
use super::{MlpKind, Pooling, Positions, QkvBias, VitConfig};
use crate::data::{CropMode, Framing, Interpolation, Normalise, Preprocess};

/// A published model under its timm name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// timm's name; with a tag (`.mae`) where the tag's weights have other
    /// classes, channel statistics or crop than the name's.
    pub name: &'static str,
    /// What the model is built and trained like.
    pub family: Family,
    pub(super) mlp: MlpKind,
    pub(super) img_size: usize,
    pub(super) patch_size: usize,
    pub(super) embed_dim: usize,
    pub(super) depth: usize,
    pub(super) num_heads: usize,
    pub(super) hidden_dim: usize,
    pub(super) num_classes: usize,
    pub(super) statistics: Statistics,
    /// Share of the resized image that evaluation's centre crop keeps.
    pub crop_pct: f64,
    /// The filter that evaluation resizes with.
    pub interpolation: Interpolation,
    /// What evaluation does with another shape than the model's.
    pub crop_mode: CropMode,
}

/// A family of published models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Plain ViT: supervised (AugReg), DINO, MAE.
    Plain,
    /// DeiT III, <https://arxiv.org/abs/2204.07118>.
    Deit3,
    /// DINOv2, <https://arxiv.org/abs/2304.07193>.
    Dinov2,
    /// DINOv2 with four registers, <https://arxiv.org/abs/2309.16588>.
    Dinov2Reg4,
    /// Image towers of CLIP, <https://arxiv.org/abs/2103.00020>, OpenCLIP,
    /// MetaCLIP and TinyCLIP.
    Clip,
    /// Image towers of SigLIP, <https://arxiv.org/abs/2303.15343>, and SigLIP 2.
    Siglip,
    /// SigLIP without its attention pool (PaliGemma): the mean of the patches.
    SiglipGap,
    /// DINOv3, <https://arxiv.org/abs/2508.10104>.
    Dinov3,
    /// DINOv3 with biases of queries and values.
    Dinov3Qkvb,
}

impl Family {
    /// The name to show.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "ViT",
            Self::Deit3 => "DeiT III",
            Self::Dinov2 => "DINOv2",
            Self::Dinov2Reg4 => "DINOv2 with registers",
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
            Self::SiglipGap => "SigLIP, mean pooled",
            Self::Dinov3 => "DINOv3",
            Self::Dinov3Qkvb => "DINOv3 with biases",
        }
    }

    /// The beginning of a name for a model of a size that timm has no name for.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Plain => "vit",
            Self::Deit3 => "deit3",
            Self::Dinov2 => "dinov2",
            Self::Dinov2Reg4 => "dinov2_reg",
            Self::Clip => "clip",
            Self::Siglip => "siglip",
            Self::SiglipGap => "siglip_gap",
            Self::Dinov3 => "dinov3",
            Self::Dinov3Qkvb => "dinov3_qkvb",
        }
    }

    /// Channel statistics of most of the family's models.
    pub(crate) fn statistics(self) -> Statistics {
        match self {
            Self::Plain | Self::Siglip | Self::SiglipGap => Statistics::Half,
            Self::Clip => Statistics::Clip,
            Self::Deit3 | Self::Dinov2 | Self::Dinov2Reg4 | Self::Dinov3 | Self::Dinov3Qkvb => {
                Statistics::ImageNet
            }
        }
    }

    /// What all models of the family share.
    pub(crate) fn config(self) -> VitConfig {
        let plain = VitConfig::default();
        match self {
            Self::Plain => plain,
            Self::Deit3 => VitConfig { no_embed_class: true, init_values: Some(1e-6), ..plain },
            Self::Dinov2 => VitConfig { init_values: Some(1e-5), ..plain },
            Self::Dinov2Reg4 => {
                VitConfig { reg_tokens: 4, no_embed_class: true, ..Self::Dinov2.config() }
            }
            Self::Clip => VitConfig { pre_norm: true, norm_eps: 1e-5, ..plain },
            Self::Siglip => VitConfig { class_token: false, pooling: Pooling::Attention, ..plain },
            Self::SiglipGap => VitConfig { pooling: Pooling::Mean, ..Self::Siglip.config() },
            Self::Dinov3 => VitConfig {
                reg_tokens: 4,
                init_values: Some(1e-5),
                norm_eps: 1e-5,
                qkv_bias: QkvBias::None,
                positions: Positions::Rotary { temperature: 100.0 },
                pooling: Pooling::Mean,
                ..plain
            },
            Self::Dinov3Qkvb => {
                VitConfig { qkv_bias: QkvBias::QueryValue, ..Self::Dinov3.config() }
            }
        }
    }
}

/// Channel mean and deviation by where they come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Statistics {
    /// Inception's: halves.
    Half,
    ImageNet,
    Clip,
    /// DINOv3's for satellite images.
    Satellite,
}

impl Statistics {
    pub(crate) fn mean_std(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::Half => ([0.5; 3], [0.5; 3]),
            Self::ImageNet => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Self::Clip => ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.2613026, 0.2757771]),
            Self::Satellite => ([0.43, 0.411, 0.296], [0.213, 0.156, 0.143]),
        }
    }
}

impl Preset {
    /// The full configuration, with as many classes as the published weights
    /// have (1000 for ImageNet-1k, 0 for none).
    pub fn config(&self) -> VitConfig {
        VitConfig {
            img_size: [self.img_size; 2],
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            mlp_ratio: self.hidden_dim as f64 / self.embed_dim as f64,
            num_classes: self.num_classes,
            mlp: self.mlp,
            ..self.family.config()
        }
    }

    /// Channel mean and deviation that the published weights were trained with.
    pub fn mean_std(&self) -> ([f32; 3], [f32; 3]) {
        self.statistics.mean_std()
    }

    /// How images are prepared where the published weights are evaluated.
    pub fn preprocess(&self) -> Preprocess {
        let (mean, std) = self.mean_std();
        Preprocess {
            normalise: Normalise { mean, std },
            interpolation: self.interpolation,
            framing: Framing::Timm { crop_mode: self.crop_mode, crop_pct: self.crop_pct },
        }
    }
}

/// All published shapes, by family and width.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// The model with this timm name. A tag after a dot without a row of its own
/// (`.augreg_in21k_ft_in1k`) is ignored: its weights have the name's shape.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let find = |name: &str| PRESETS.iter().find(|preset| preset.name == name);
    find(name).or_else(|| find(name.split_once('.')?.0))
}

/// The known name nearest to a mistyped one.
pub fn nearest_name(name: &str) -> &'static str {
    let names = PRESETS.iter().map(|preset| preset.name);
    names
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
        .unwrap_or_default()
}
