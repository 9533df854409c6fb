//! Published models under their timm names.

use serde::{Deserialize, Serialize};

use super::config::{Activation, FinalNorm, Pooling, Positions, QkvBias, VitConfig};
use crate::data::{CropMode, Framing, Interpolation, Normalise, Preprocess};

/// A published model under its timm name.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Preset {
    /// timm's name; with a tag (`.mae`) where the tag's weights have other
    /// classes, channel statistics or crop than the name's.
    pub name: &'static str,
    /// The family, whose shape and channel statistics the model shares.
    pub family: Family,
    mlp: Activation,
    img_size: usize,
    patch_size: usize,
    embed_dim: usize,
    depth: usize,
    num_heads: usize,
    hidden_dim: usize,
    num_classes: usize,
    statistics: Statistics,
    /// Share of the resized image that evaluation's centre crop keeps.
    pub crop_pct: f64,
    /// The filter that evaluation resizes with.
    pub interpolation: Interpolation,
    /// How evaluation fits an image of another aspect ratio.
    pub crop_mode: CropMode,
}

/// A family of published models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// DINOv3 with biases of queries and values; EUPE, <https://arxiv.org/abs/2603.22387>, has
    /// the same models.
    Dinov3Qkvb,
    /// Image towers of TIPSv2, <https://arxiv.org/abs/2604.12012>.
    Tipsv2,
    /// LingBot-Vision, <https://arxiv.org/abs/2607.05247>.
    Lingbot,
    /// LingBot-Vision's teacher, ViT-g: gated and without biases of queries and values.
    LingbotG,
    /// Franca, <https://arxiv.org/abs/2507.14137>: DINOv2 with a gate in every size.
    Franca,
    /// Perception Encoder, <https://arxiv.org/abs/2504.13181>, for images and texts.
    PeCore,
    /// Its largest model, which has no class token.
    PeCoreG,
    /// Perception Encoder for dense tasks.
    PeSpatial,
    /// Perception Encoder for language models.
    PeLang,
    /// The largest models of the last two, which have LayerScale and no class token.
    PeG,
    /// EVA-02, <https://arxiv.org/abs/2303.11331>, tiny and small.
    Eva02,
    /// EVA-02 with a norm within its MLPs: base and large.
    Eva02Norm,
    /// Image towers of EVA-02's CLIP, <https://arxiv.org/abs/2303.15389>.
    Eva02Clip,
    /// C-RADIOv4, <https://arxiv.org/abs/2601.17237>: a class token for each teacher, of which
    /// all but the first are registers here.
    Radio,
    /// C-RADIOv3, <https://arxiv.org/abs/2412.07679>, base and large, which have LayerScale.
    RadioV3,
    /// C-RADIOv3, huge and giant.
    RadioV3H,
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
            Self::Tipsv2 => "TIPSv2",
            Self::Lingbot | Self::LingbotG => "LingBot-Vision",
            Self::Franca => "Franca",
            Self::PeCore | Self::PeCoreG => "Perception Encoder, core",
            Self::PeSpatial => "Perception Encoder, spatial",
            Self::PeLang => "Perception Encoder, language",
            Self::PeG => "Perception Encoder, spatial or language",
            Self::Eva02 | Self::Eva02Norm => "EVA-02",
            Self::Eva02Clip => "EVA-02 CLIP",
            Self::Radio => "C-RADIOv4",
            Self::RadioV3 | Self::RadioV3H => "C-RADIOv3",
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
            Self::Tipsv2 => "tipsv2",
            Self::Lingbot => "lingbot",
            Self::LingbotG => "lingbot_g",
            Self::Franca => "franca",
            Self::PeCore => "pe_core",
            Self::PeCoreG => "pe_core_g",
            Self::PeSpatial => "pe_spatial",
            Self::PeLang => "pe_lang",
            Self::PeG => "pe_g",
            Self::Eva02 => "eva02",
            Self::Eva02Norm => "eva02_norm",
            Self::Eva02Clip => "eva02_clip",
            Self::Radio => "radio",
            Self::RadioV3 => "radio_v3",
            Self::RadioV3H => "radio_v3_h",
        }
    }

    /// Channel statistics of most of the family's models.
    pub(crate) fn statistics(self) -> Statistics {
        match self {
            Self::Plain | Self::Siglip | Self::SiglipGap => Statistics::Half,
            Self::PeCore | Self::PeCoreG | Self::PeSpatial | Self::PeLang | Self::PeG => {
                Statistics::Half
            }
            Self::Clip | Self::Eva02 | Self::Eva02Norm | Self::Eva02Clip => Statistics::Clip,
            Self::Radio | Self::RadioV3 | Self::RadioV3H => Statistics::Clip,
            Self::Tipsv2 => Statistics::Unit,
            _ => Statistics::ImageNet,
        }
    }

    /// The family that stands for all whose models have the same tensors, which a file
    /// without a name cannot tell apart.
    pub(crate) fn by_tensors(self) -> Self {
        match self {
            Self::Lingbot => Self::Dinov3Qkvb,
            Self::LingbotG => Self::Dinov3,
            Self::Franca => Self::Dinov2,
            other => other,
        }
    }

    /// The fields that all models of the family share.
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
            Self::Tipsv2 => {
                VitConfig { init_values: Some(1.0), reg_tokens: 1, ..Self::Dinov2Reg4.config() }
            }
            Self::Lingbot => VitConfig { pooling: Pooling::Token, ..Self::Dinov3Qkvb.config() },
            Self::LingbotG => VitConfig { pooling: Pooling::Token, ..Self::Dinov3.config() },
            Self::Franca => Self::Dinov2.config(),
            Self::PeCore => VitConfig {
                norm_eps: 1e-5,
                pre_norm: true,
                positions: patches_counted(1),
                pooling: Pooling::Attention,
                attn_pool_num_heads: Some(8),
                attn_pool_mlp_ratio: Some(4.0),
                ..plain
            },
            Self::PeCoreG => VitConfig {
                class_token: false,
                positions: patches_counted(0),
                ..Self::PeCore.config()
            },
            Self::PeSpatial => VitConfig {
                pooling: Pooling::Mean,
                attn_pool_num_heads: None,
                attn_pool_mlp_ratio: None,
                final_norm: FinalNorm::None,
                ..Self::PeCore.config()
            },
            Self::PeLang => VitConfig { init_values: Some(0.1), ..Self::PeSpatial.config() },
            Self::PeG => VitConfig {
                class_token: false,
                positions: patches_counted(0),
                ..Self::PeLang.config()
            },
            Self::Eva02 => VitConfig {
                mlp: Activation::Swiglu,
                qkv_bias: QkvBias::QueryValue,
                positions: Positions::LearnedAndRotary { side: 16, first: 0, columns_first: false },
                pooling: Pooling::Mean,
                final_norm: FinalNorm::Pooled,
                ..plain
            },
            Self::Eva02Norm => VitConfig { scale_mlp: true, ..Self::Eva02.config() },
            Self::Eva02Clip => VitConfig {
                scale_attn_inner: true,
                pooling: Pooling::Token,
                final_norm: FinalNorm::Tokens,
                ..Self::Eva02Norm.config()
            },
            Self::Radio => VitConfig {
                reg_tokens: 9,
                no_embed_class: true,
                final_norm: FinalNorm::None,
                ..plain
            },
            Self::RadioV3H => VitConfig { reg_tokens: 7, ..Self::Radio.config() },
            Self::RadioV3 => VitConfig { init_values: Some(1e-5), ..Self::RadioV3H.config() },
        }
    }
}

/// The Perception Encoder's positions; each model's patches are counted on the grid of its own
/// images.
fn patches_counted(first: usize) -> Positions {
    Positions::LearnedAndRotary { side: 14, first, columns_first: true }
}

/// Channel mean and standard deviation by their origin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Statistics {
    /// Inception's: halves.
    Half,
    ImageNet,
    Clip,
    /// DINOv3's for satellite images.
    Satellite,
    /// None: values from 0 to 1 as they are.
    Unit,
}

impl Statistics {
    pub(crate) fn mean_std(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::Half => ([0.5; 3], [0.5; 3]),
            Self::ImageNet => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Self::Clip => ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.2613026, 0.2757771]),
            Self::Satellite => ([0.43, 0.411, 0.296], [0.213, 0.156, 0.143]),
            Self::Unit => ([0.0; 3], [1.0; 3]),
        }
    }
}

impl Preset {
    /// The full configuration, with as many classes as the published weights
    /// have (1000 for ImageNet-1k, 0 for none).
    pub fn config(&self) -> VitConfig {
        let of_family = self.family.config();
        let positions = match of_family.positions {
            Positions::LearnedAndRotary { first, columns_first: true, .. } => {
                let side = self.img_size / self.patch_size;
                Positions::LearnedAndRotary { side, first, columns_first: true }
            }
            positions => positions,
        };
        VitConfig {
            img_size: [self.img_size; 2],
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            mlp_ratio: self.hidden_dim as f64 / self.embed_dim as f64,
            num_classes: self.num_classes,
            mlp: self.mlp,
            positions,
            ..of_family
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

macro_rules! presets {
    ($($family:ident $mlp:ident $name:literal $img:literal $patch:literal $dim:literal $depth:literal
        $heads:literal $hidden:literal $classes:literal $statistics:ident $crop:literal $filter:ident
        $mode:ident;)*) => {
        &[$(Preset {
            name: $name,
            family: Family::$family,
            mlp: Activation::$mlp,
            img_size: $img,
            patch_size: $patch,
            embed_dim: $dim,
            depth: $depth,
            num_heads: $heads,
            hidden_dim: $hidden,
            num_classes: $classes,
            statistics: Statistics::$statistics,
            crop_pct: $crop,
            interpolation: Interpolation::$filter,
            crop_mode: CropMode::$mode,
        }),*]
    };
}

// Printed by `tests/golden/presets.py --rows` from timm 1.0.31. Columns: family, MLP, name, image,
// patch, width, depth, heads, hidden width of an MLP, classes, channel statistics, share of the
// image that evaluation keeps, resampling filter and crop mode. A tag has a row where its weights depart from the name's.
#[rustfmt::skip]
const PRESETS: &[Preset] = presets! {
    Plain      Gelu      "vit_tiny_patch16_224"                                      224   16  192   12    3  768   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_tiny_patch16_224.augreg_in21k"                         224   16  192   12    3  768  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_tiny_patch16_384"                                      384   16  192   12    3  768   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_small_patch32_224"                                     224   32  384   12    6 1536   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_small_patch32_224.augreg_in21k"                        224   32  384   12    6 1536  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_small_patch32_384"                                     384   32  384   12    6 1536   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_small_patch16_224"                                     224   16  384   12    6 1536   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_small_patch16_224.augreg_in21k"                        224   16  384   12    6 1536  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_small_patch16_224.dino"                                224   16  384   12    6 1536      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_small_patch16_384"                                     384   16  384   12    6 1536   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_small_patch8_224"                                      224    8  384   12    6 1536      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch32_224"                                      224   32  768   12   12 3072   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch32_224.augreg_in21k"                         224   32  768   12   12 3072  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch32_224.orig_in21k"                           224   32  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch32_384"                                      384   32  768   12   12 3072   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224"                                      224   16  768   12   12 3072   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224.augreg_in21k"                         224   16  768   12   12 3072  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224.bamboo"                               224   16  768   12   12 3072 115217 Clip      1.0   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224.dino"                                 224   16  768   12   12 3072      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224.mae"                                  224   16  768   12   12 3072      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_224.orig_in21k"                           224   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch16_384"                                      384   16  768   12   12 3072   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_base_patch8_224"                                       224    8  768   12   12 3072   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch8_224.augreg_in21k"                          224    8  768   12   12 3072  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_base_patch8_224.dino"                                  224    8  768   12   12 3072      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch32_224"                                     224   32 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch32_384"                                     384   32 1024   24   16 4096   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_large_patch16_224"                                     224   16 1024   24   16 4096   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch16_224.augreg_in21k"                        224   16 1024   24   16 4096  21843 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch16_224.mae"                                 224   16 1024   24   16 4096      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch16_224.orig_in21k"                          224   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_large_patch16_384"                                     384   16 1024   24   16 4096   1000 Half      1.0   Bicubic  Center;
    Plain      Gelu      "vit_large_patch14_224"                                     224   14 1024   24   16 4096   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_huge_patch14_224"                                      224   14 1280   32   16 5120      0 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_huge_patch14_224.mae"                                  224   14 1280   32   16 5120      0 ImageNet  0.9   Bicubic  Center;
    Plain      Gelu      "vit_giant_patch14_224"                                     224   14 1408   40   16 6144   1000 Half      0.9   Bicubic  Center;
    Plain      Gelu      "vit_gigantic_patch14_224"                                  224   14 1664   48   16 8192   1000 Half      0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_small_patch16_224"                                   224   16  384   12    6 1536   1000 ImageNet  0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_small_patch16_224.fb_in22k_ft_in1k"                  224   16  384   12    6 1536   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_small_patch16_384"                                   384   16  384   12    6 1536   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_medium_patch16_224"                                  224   16  512   12    8 2048   1000 ImageNet  0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_medium_patch16_224.fb_in22k_ft_in1k"                 224   16  512   12    8 2048   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_base_patch16_224"                                    224   16  768   12   12 3072   1000 ImageNet  0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_base_patch16_224.fb_in22k_ft_in1k"                   224   16  768   12   12 3072   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_base_patch16_384"                                    384   16  768   12   12 3072   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_large_patch16_224"                                   224   16 1024   24   16 4096   1000 ImageNet  0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_large_patch16_224.fb_in22k_ft_in1k"                  224   16 1024   24   16 4096   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_large_patch16_384"                                   384   16 1024   24   16 4096   1000 ImageNet  1.0   Bicubic  Center;
    Deit3      Gelu      "deit3_huge_patch14_224"                                    224   14 1280   32   16 5120   1000 ImageNet  0.9   Bicubic  Center;
    Deit3      Gelu      "deit3_huge_patch14_224.fb_in22k_ft_in1k"                   224   14 1280   32   16 5120   1000 ImageNet  1.0   Bicubic  Center;
    Dinov2     Gelu      "vit_small_patch14_dinov2"                                  518   14  384   12    6 1536      0 ImageNet  1.0   Bicubic  Center;
    Dinov2     Gelu      "vit_base_patch14_dinov2"                                   518   14  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov2     Gelu      "vit_large_patch14_dinov2"                                  518   14 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov2     Swiglu    "vit_giant_patch14_dinov2"                                  518   14 1536   40   24 8192      0 ImageNet  1.0   Bicubic  Center;
    Dinov2Reg4 Gelu      "vit_small_patch14_reg4_dinov2"                             518   14  384   12    6 1536      0 ImageNet  1.0   Bicubic  Center;
    Dinov2Reg4 Gelu      "vit_base_patch14_reg4_dinov2"                              518   14  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov2Reg4 Gelu      "vit_large_patch14_reg4_dinov2"                             518   14 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov2Reg4 Swiglu    "vit_giant_patch14_reg4_dinov2"                             518   14 1536   40   24 8192      0 ImageNet  1.0   Bicubic  Center;
    Clip       Gelu      "vit_xsmall_patch16_clip_224"                               224   16  256   10    4 1024    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_medium_patch32_clip_224"                               224   32  512   12    8 2048    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_medium_patch16_clip_224"                               224   16  512   12    8 2048    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_betwixt_patch32_clip_224"                              224   32  640   12   10 2560    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224"                                 224   32  768   12   12 3072   1000 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.datacompxl"                      224   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.laion2b"                         224   32  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.laion400m_e32"                   224   32  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.metaclip_2pt5b"                  224   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.metaclip_400m"                   224   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_224.openai"                          224   32  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       QuickGelu "vit_base_patch32_clip_quickgelu_224"                       224   32  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       QuickGelu "vit_base_patch32_clip_quickgelu_224.metaclip_2pt5b"        224   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       QuickGelu "vit_base_patch32_clip_quickgelu_224.metaclip_400m"         224   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_256"                                 256   32  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_384"                                 384   32  768   12   12 3072   1000 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch32_clip_384.openai_ft_in12k_in1k"            384   32  768   12   12 3072   1000 Clip      0.95  Bicubic  Squash;
    Clip       Gelu      "vit_base_patch32_clip_448"                                 448   32  768   12   12 3072   1000 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224"                                 224   16  768   12   12 3072   1000 Clip      0.95  Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.datacompxl"                      224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.dfn2b"                           224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.laion2b"                         224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.laion2b_ft_in1k"                 224   16  768   12   12 3072   1000 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.laion2b_ft_in12k"                224   16  768   12   12 3072  11821 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.laion400m_e32"                   224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.metaclip_2pt5b"                  224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.metaclip_400m"                   224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.openai"                          224   16  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.openai_ft_in1k"                  224   16  768   12   12 3072   1000 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_224.openai_ft_in12k"                 224   16  768   12   12 3072  11821 Clip      0.9   Bicubic  Center;
    Clip       QuickGelu "vit_base_patch16_clip_quickgelu_224"                       224   16  768   12   12 3072    512 Clip      1.0   Bicubic  Center;
    Clip       QuickGelu "vit_base_patch16_clip_quickgelu_224.openai"                224   16  768   12   12 3072    512 Clip      0.9   Bicubic  Center;
    Clip       Gelu      "vit_base_patch16_clip_384"                                 384   16  768   12   12 3072   1000 Clip      1.0   Bicubic  Squash;
    Clip       Gelu      "vit_base_patch16_clip_384.openai_ft_in12k_in1k"            384   16  768   12   12 3072   1000 Clip      0.95  Bicubic  Squash;
    Clip       Gelu      "vit_large_patch14_clip_224"                                224   14 1024   24   16 4096   1000 Half      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.apple_mclip2_dfndr2b"           224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.datacompxl"                     224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.dfn2b"                          224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.dfn2b_s39b"                     224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.laion2b"                        224   14 1024   24   16 4096    768 Half      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.laion2b_ft_in12k"               224   14 1024   24   16 4096  11821 Half      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.laion400m_e32"                  224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.metaclip_2pt5b"                 224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.metaclip_400m"                  224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.openai"                         224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.openai_ft_in1k"                 224   14 1024   24   16 4096   1000 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.openai_ft_in12k"                224   14 1024   24   16 4096  11821 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_224.openai_ft_in12k_in1k"           224   14 1024   24   16 4096   1000 Clip      1.0   Bicubic  Center;
    Clip       QuickGelu "vit_large_patch14_clip_quickgelu_224"                      224   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_336"                                336   14 1024   24   16 4096   1000 Half      1.0   Bicubic  Squash;
    Clip       Gelu      "vit_large_patch14_clip_336.openai"                         336   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_large_patch14_clip_336.openai_ft_in12k_in1k"           336   14 1024   24   16 4096   1000 Clip      1.0   Bicubic  Squash;
    Clip       QuickGelu "vit_large_patch14_clip_quickgelu_336"                      336   14 1024   24   16 4096    768 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224"                                 224   14 1280   32   16 5120   1000 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.dfn5b"                           224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.laion2b"                         224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.laion2b_ft_in12k"                224   14 1280   32   16 5120  11821 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.metaclip2_worldwide"             224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.metaclip_2pt5b"                  224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_224.metaclip_altogether"             224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       QuickGelu "vit_huge_patch14_clip_quickgelu_224"                       224   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_336"                                 336   14 1280   32   16 5120   1000 Clip      1.0   Bicubic  Squash;
    Clip       Gelu      "vit_huge_patch14_clip_378"                                 378   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_huge_patch14_clip_378.metaclip2_worldwide"             378   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Squash;
    Clip       QuickGelu "vit_huge_patch14_clip_quickgelu_378"                       378   14 1280   32   16 5120   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_giant_patch14_clip_224"                                224   14 1408   40   16 6144   1024 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_gigantic_patch14_clip_224"                             224   14 1664   48   16 8192   1280 Clip      1.0   Bicubic  Center;
    Clip       QuickGelu "vit_gigantic_patch14_clip_quickgelu_224"                   224   14 1664   48   16 8192   1280 Clip      1.0   Bicubic  Center;
    Clip       Gelu      "vit_gigantic_patch14_clip_378"                             378   14 1664   48   16 8192   1280 Clip      1.0   Bicubic  Squash;
    Siglip     GeluTanh  "vit_base_patch32_siglip_256"                               256   32  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_base_patch16_siglip_224"                               224   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_base_patch16_siglip_256"                               256   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_base_patch16_siglip_384"                               384   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_base_patch16_siglip_512"                               512   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_large_patch16_siglip_256"                              256   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_large_patch16_siglip_384"                              384   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    Siglip     GeluTanh  "vit_large_patch16_siglip_512"                              512   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    Siglip     GeluTanh  "vit_so400m_patch16_siglip_256"                             256   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    Siglip     GeluTanh  "vit_so400m_patch16_siglip_384"                             384   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    Siglip     GeluTanh  "vit_so400m_patch16_siglip_512"                             512   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_so400m_patch14_siglip_224"                             224   14 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_so400m_patch14_siglip_378"                             378   14 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    Siglip     Gelu      "vit_so400m_patch14_siglip_378.webli_ft_in1k"               378   14 1152   27   16 4304   1000 Half      1.0   Bicubic  Squash;
    Siglip     GeluTanh  "vit_giantopt_patch16_siglip_256"                           256   16 1536   40   16 6144      0 Half      0.9   Bicubic  Center;
    Siglip     GeluTanh  "vit_giantopt_patch16_siglip_384"                           384   16 1536   40   16 6144      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_base_patch32_siglip_gap_256"                           256   32  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_base_patch16_siglip_gap_224"                           224   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_base_patch16_siglip_gap_256"                           256   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_base_patch16_siglip_gap_384"                           384   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_base_patch16_siglip_gap_512"                           512   16  768   12   12 3072      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_large_patch16_siglip_gap_256"                          256   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_large_patch16_siglip_gap_384"                          384   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_large_patch16_siglip_gap_512"                          512   16 1024   24   16 4096      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_so400m_patch16_siglip_gap_256"                         256   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_so400m_patch16_siglip_gap_384"                         384   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_so400m_patch16_siglip_gap_512"                         512   16 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_224"                         224   14 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_378"                         378   14 1152   27   16 4304      0 Half      0.9   Bicubic  Center;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_378.webli"                   378   14 1152   27   16 4304      0 Half      1.0   Bicubic  Center;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_378.webli_ft_in1k"           378   14 1152   27   16 4304   1000 Half      1.0   Bicubic  Squash;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_448"                         448   14 1152   27   16 4304      0 Half      1.0   Bicubic  Center;
    SiglipGap  Gelu      "vit_so400m_patch14_siglip_gap_896"                         896   14 1152   27   16 4304      0 Half      1.0   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_giantopt_patch16_siglip_gap_256"                       256   16 1536   40   16 6144      0 Half      0.9   Bicubic  Center;
    SiglipGap  GeluTanh  "vit_giantopt_patch16_siglip_gap_384"                       384   16 1536   40   16 6144      0 Half      0.9   Bicubic  Center;
    Dinov3     Gelu      "vit_small_patch16_dinov3"                                  256   16  384   12    6 1536      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Swiglu    "vit_small_plus_patch16_dinov3"                             256   16  384   12    6 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Gelu      "vit_base_patch16_dinov3"                                   256   16  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Gelu      "vit_large_patch16_dinov3"                                  256   16 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Gelu      "vit_large_patch16_dinov3.sat493m"                          256   16 1024   24   16 4096      0 Satellite 1.0   Bicubic  Center;
    Dinov3     Swiglu    "vit_huge_plus_patch16_dinov3"                              256   16 1280   32   20 10240      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Swiglu    "vit_7b_patch16_dinov3"                                     256   16 4096   40   32 16384      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Swiglu    "vit_7b_patch16_dinov3.sat493m"                             256   16 4096   40   32 16384      0 Satellite 1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_tiny_patch16_dinov3_qkvb"                              256   16  192   12    3  768      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_small_patch16_dinov3_qkvb"                             256   16  384   12    6 1536      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Swiglu    "vit_small_plus_patch16_dinov3_qkvb"                        256   16  384   12    6 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_base_patch16_dinov3_qkvb"                              256   16  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_large_patch16_dinov3_qkvb"                             256   16 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_large_patch16_dinov3_qkvb.sat493m"                     256   16 1024   24   16 4096      0 Satellite 1.0   Bicubic  Center;
    Dinov3Qkvb Swiglu    "vit_huge_plus_patch16_dinov3_qkvb"                         256   16 1280   32   20 10240      0 ImageNet  1.0   Bicubic  Center;
    Tipsv2     Gelu      "vit_base_patch14_reg1_tipsv2"                              448   14  768   12   12 3072      0 Unit      1.0   Bicubic  Center;
    Tipsv2     Gelu      "vit_large_patch14_reg1_tipsv2"                             448   14 1024   24   16 4096      0 Unit      1.0   Bicubic  Center;
    Tipsv2     Gelu      "vit_so400m_patch14_reg1_tipsv2"                            448   14 1152   27   16 4304      0 Unit      1.0   Bicubic  Center;
    Tipsv2     Swiglu    "vit_giant_patch14_reg1_tipsv2"                             448   14 1536   40   24 8192      0 Unit      1.0   Bicubic  Center;
    Lingbot    Gelu      "vit_small_patch16_lingbot"                                 512   16  384   12    6 1536      0 ImageNet  1.0   Bilinear Squash;
    Lingbot    Gelu      "vit_base_patch16_lingbot"                                  512   16  768   12   12 3072      0 ImageNet  1.0   Bilinear Squash;
    Lingbot    Gelu      "vit_large_patch16_lingbot"                                 512   16 1024   24   16 4096      0 ImageNet  1.0   Bilinear Squash;
    LingbotG   Swiglu    "vit_giant_patch16_lingbot"                                 512   16 1536   40   24 8192      0 ImageNet  1.0   Bilinear Squash;
    Franca     Swiglu    "franca_vitb14"                                             518   14  768   12   12 4096      0 ImageNet  1.0   Bicubic  Center;
    Franca     Swiglu    "franca_vitl14"                                             224   14 1024   24   16 5472      0 ImageNet  1.0   Bicubic  Center;
    Franca     Swiglu    "franca_vitg14"                                             224   14 1536   40   24 8192      0 ImageNet  1.0   Bicubic  Center;
    PeCore     Gelu      "vit_pe_core_tiny_patch16_384"                              384   16  192   12    3  768    512 Half      1.0   Bicubic  Center;
    PeCore     Gelu      "vit_pe_core_small_patch16_384"                             384   16  384   12    6 1536    512 Half      1.0   Bicubic  Center;
    PeCore     Gelu      "vit_pe_core_base_patch16_224"                              224   16  768   12   12 3072   1024 Half      1.0   Bicubic  Center;
    PeCore     Gelu      "vit_pe_core_large_patch14_336"                             336   14 1024   24   16 4096   1024 Half      1.0   Bicubic  Center;
    PeCoreG    Gelu      "vit_pe_core_gigantic_patch14_448"                          448   14 1536   50   16 8960   1280 Half      1.0   Bicubic  Center;
    PeSpatial  Gelu      "vit_pe_spatial_tiny_patch16_512"                           512   16  192   12    3  768      0 Half      1.0   Bicubic  Center;
    PeSpatial  Gelu      "vit_pe_spatial_small_patch16_512"                          512   16  384   12    6 1536      0 Half      1.0   Bicubic  Center;
    PeSpatial  Gelu      "vit_pe_spatial_base_patch16_512"                           512   16  768   12   12 3072      0 Half      1.0   Bicubic  Center;
    PeSpatial  Gelu      "vit_pe_spatial_large_patch14_448"                          448   14 1024   24   16 4096      0 Half      1.0   Bicubic  Center;
    PeLang     Gelu      "vit_pe_lang_large_patch14_448"                             448   14 1024   23   16 4096      0 Half      1.0   Bicubic  Center;
    PeG        Gelu      "vit_pe_lang_gigantic_patch14_448"                          448   14 1536   47   16 8960      0 Half      1.0   Bicubic  Center;
    PeG        Gelu      "vit_pe_spatial_gigantic_patch14_448"                       448   14 1536   50   16 8960      0 Half      1.0   Bicubic  Center;
    Eva02      Swiglu    "eva02_tiny_patch14_224"                                    224   14  192   12    3 1024      0 Clip      0.9   Bicubic  Center;
    Eva02      Swiglu    "eva02_tiny_patch14_336"                                    336   14  192   12    3 1024   1000 Clip      1.0   Bicubic  Center;
    Eva02      Swiglu    "eva02_small_patch14_224"                                   224   14  384   12    6 2048      0 Clip      0.9   Bicubic  Center;
    Eva02      Swiglu    "eva02_small_patch14_336"                                   336   14  384   12    6 2048   1000 Clip      1.0   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_base_patch14_224"                                    224   14  768   12   12 4096      0 Clip      0.9   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_base_patch14_448"                                    448   14  768   12   12 4096   1000 Clip      1.0   Bicubic  Squash;
    Eva02Norm  Swiglu    "eva02_base_patch14_448.mim_in22k_ft_in1k"                  448   14  768   12   12 4096   1000 Clip      1.0   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_base_patch14_448.mim_in22k_ft_in22k"                 448   14  768   12   12 4096  21841 Clip      1.0   Bicubic  Squash;
    Eva02Norm  Swiglu    "eva02_large_patch14_224"                                   224   14 1024   24   16 5460      0 Clip      0.9   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_large_patch14_448"                                   448   14 1024   24   16 5460   1000 Clip      1.0   Bicubic  Squash;
    Eva02Norm  Swiglu    "eva02_large_patch14_448.mim_in22k_ft_in1k"                 448   14 1024   24   16 5460   1000 Clip      1.0   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_large_patch14_448.mim_in22k_ft_in22k"                448   14 1024   24   16 5460  21841 Clip      1.0   Bicubic  Squash;
    Eva02Norm  Swiglu    "eva02_large_patch14_448.mim_m38m_ft_in1k"                  448   14 1024   24   16 5460   1000 Clip      1.0   Bicubic  Center;
    Eva02Norm  Swiglu    "eva02_large_patch14_448.mim_m38m_ft_in22k"                 448   14 1024   24   16 5460  21841 Clip      1.0   Bicubic  Squash;
    Eva02Clip  Swiglu    "eva02_base_patch16_clip_224"                               224   16  768   12   12 4096    512 Clip      0.9   Bicubic  Center;
    Eva02Clip  Swiglu    "eva02_large_patch14_clip_224"                              224   14 1024   24   16 5460    768 Clip      0.9   Bicubic  Center;
    Eva02Clip  Swiglu    "eva02_large_patch14_clip_336"                              336   14 1024   24   16 5460    768 Clip      1.0   Bicubic  Center;
    Radio      Gelu      "vit_so400m_patch16_radio_v4"                               512   16 1152   27   16 4304      0 Clip      1.0   Bicubic  Center;
    Radio      Gelu      "vit_huge_patch16_radio_v4"                                 512   16 1280   32   16 5120      0 Clip      1.0   Bicubic  Center;
    RadioV3    Gelu      "vit_base_patch16_radio_v3"                                 512   16  768   12   12 3072      0 Clip      1.0   Bicubic  Center;
    RadioV3    Gelu      "vit_large_patch16_radio_v3"                                512   16 1024   24   16 4096      0 Clip      1.0   Bicubic  Center;
    RadioV3H   Gelu      "vit_huge_patch16_radio_v3"                                 512   16 1280   32   16 5120      0 Clip      1.0   Bicubic  Center;
    RadioV3H   Gelu      "vit_giant_patch16_radio_v3"                                512   16 1536   40   24 6144      0 Clip      1.0   Bicubic  Center;
};
