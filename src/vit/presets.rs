use super::VitConfig;

/// A published model shape under its timm name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// timm's name without a tag.
    pub name: &'static str,
    family: Family,
    img_size: usize,
    patch_size: usize,
    embed_dim: usize,
    depth: usize,
    num_heads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    Plain,
    Deit3,
}

impl Preset {
    /// The full configuration, with ImageNet-1k's 1000 classes as in timm.
    pub fn config(&self) -> VitConfig {
        let deit3 = self.family == Family::Deit3;
        VitConfig {
            img_size: [self.img_size; 2],
            patch_size: self.patch_size,
            embed_dim: self.embed_dim,
            depth: self.depth,
            num_heads: self.num_heads,
            num_classes: 1000,
            no_embed_class: deit3,
            init_values: deit3.then_some(1e-6),
            ..VitConfig::default()
        }
    }
}

impl Preset {
    /// Channel mean and deviation that the published weights were trained with.
    pub fn mean_std(&self) -> ([f32; 3], [f32; 3]) {
        match self.family {
            Family::Plain => ([0.5; 3], [0.5; 3]),
            Family::Deit3 => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        }
    }
}

macro_rules! presets {
    ($($family:ident $name:literal $img:literal $patch:literal $dim:literal $depth:literal $heads:literal;)*) => {
        &[$(Preset {
            name: $name,
            family: Family::$family,
            img_size: $img,
            patch_size: $patch,
            embed_dim: $dim,
            depth: $depth,
            num_heads: $heads,
        }),*]
    };
}

#[rustfmt::skip]
const PRESETS: &[Preset] = presets! {
    Plain "vit_tiny_patch16_224"          224 16  192 12  3;
    Plain "vit_tiny_patch16_384"          384 16  192 12  3;
    Plain "vit_small_patch32_224"         224 32  384 12  6;
    Plain "vit_small_patch32_384"         384 32  384 12  6;
    Plain "vit_small_patch16_224"         224 16  384 12  6;
    Plain "vit_small_patch16_384"         384 16  384 12  6;
    Plain "vit_small_patch8_224"          224  8  384 12  6;
    Plain "vit_base_patch32_224"          224 32  768 12 12;
    Plain "vit_base_patch32_384"          384 32  768 12 12;
    Plain "vit_base_patch16_224"          224 16  768 12 12;
    Plain "vit_base_patch16_384"          384 16  768 12 12;
    Plain "vit_base_patch8_224"           224  8  768 12 12;
    Plain "vit_large_patch32_224"         224 32 1024 24 16;
    Plain "vit_large_patch32_384"         384 32 1024 24 16;
    Plain "vit_large_patch16_224"         224 16 1024 24 16;
    Plain "vit_large_patch16_384"         384 16 1024 24 16;
    Plain "vit_large_patch14_224"         224 14 1024 24 16;
    Plain "vit_huge_patch14_224"          224 14 1280 32 16;
    Deit3 "deit3_small_patch16_224"       224 16  384 12  6;
    Deit3 "deit3_small_patch16_384"       384 16  384 12  6;
    Deit3 "deit3_medium_patch16_224"      224 16  512 12  8;
    Deit3 "deit3_base_patch16_224"        224 16  768 12 12;
    Deit3 "deit3_base_patch16_384"        384 16  768 12 12;
    Deit3 "deit3_large_patch16_224"       224 16 1024 24 16;
    Deit3 "deit3_large_patch16_384"       384 16 1024 24 16;
    Deit3 "deit3_huge_patch14_224"        224 14 1280 32 16;
};

/// All published shapes, smallest family member first.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// The shape with this timm name; a tag after a dot (`.augreg_in21k_ft_in1k`)
/// is ignored, as tags name weights and not shapes.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let base = name.split('.').next().unwrap_or(name);
    PRESETS.iter().find(|preset| preset.name == base)
}

/// The known name nearest to a mistyped one.
pub fn nearest_name(name: &str) -> &'static str {
    let names = PRESETS.iter().map(|preset| preset.name);
    names
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
        .unwrap_or_default()
}
