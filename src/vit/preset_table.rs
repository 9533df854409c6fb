use super::MlpKind;
use super::presets::{Family, Preset, Statistics};
use crate::data::{CropMode, Interpolation};

macro_rules! presets {
    ($($family:ident $mlp:ident $name:literal $img:literal $patch:literal $dim:literal $depth:literal
        $heads:literal $hidden:literal $classes:literal $statistics:ident $crop:literal $filter:ident
        $mode:ident;)*) => {
        &[$(Preset {
            name: $name,
            family: Family::$family,
            mlp: MlpKind::$mlp,
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
pub(super) const PRESETS: &[Preset] = presets! {
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
    Dinov3     Gelu      "vit_base_patch16_dinov3"                                   256   16  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Gelu      "vit_large_patch16_dinov3"                                  256   16 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov3     Gelu      "vit_large_patch16_dinov3.sat493m"                          256   16 1024   24   16 4096      0 Satellite 1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_tiny_patch16_dinov3_qkvb"                              256   16  192   12    3  768      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_small_patch16_dinov3_qkvb"                             256   16  384   12    6 1536      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_base_patch16_dinov3_qkvb"                              256   16  768   12   12 3072      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_large_patch16_dinov3_qkvb"                             256   16 1024   24   16 4096      0 ImageNet  1.0   Bicubic  Center;
    Dinov3Qkvb Gelu      "vit_large_patch16_dinov3_qkvb.sat493m"                     256   16 1024   24   16 4096      0 Satellite 1.0   Bicubic  Center;
};
