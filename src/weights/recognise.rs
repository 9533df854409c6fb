//! Which model a file of weights holds.

use std::mem::discriminant;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;

use super::WeightsFile;
use super::facts::Facts;
use super::naming::Translated;
use super::stated::Stated;
use crate::error::{Error, Result};
use crate::vit::{
    Activation, Family, FinalNorm, Pooling, Positions, Preset, QkvBias, Statistics, VitConfig,
    preset, presets,
};

/// The most bytes of a config that is read.
#[cfg(not(target_family = "wasm"))]
const MAX_CONFIG: u64 = 4 << 20;
/// The most patches of an image size that a config states.
const MAX_PATCHES: usize = 1 << 16;

/// The architecture of a file of weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recognised {
    /// timm's name where a published model has this shape, else a description.
    pub arch: String,
    /// The shape, with as many classes as the file's head has.
    pub config: VitConfig,
    /// The project whose names the tensors have.
    pub naming: &'static str,
    /// Channel mean and standard deviation of the model's images.
    pub mean_std: ([f32; 3], [f32; 3]),
    /// Assumptions where neither the file nor a config says, one line each.
    pub assumed: Vec<String>,
}

/// Works out the architecture of a file of weights in any published naming, from
/// its tensors and the configs beside it (`config.json` of transformers or timm,
/// `open_clip_config.json`, `preprocessor_config.json`). A file written by
/// [`save`](super::save) states it itself.
///
/// # Errors
/// As [`load`](super::load), and [`Error::Naming`] where the names are those of
/// no known model or the shape is ambiguous.
#[cfg(not(target_family = "wasm"))]
pub fn recognise(path: &Path) -> Result<Recognised> {
    WeightsFile::open(path)?.recognise_on_disk()
}

impl WeightsFile {
    /// As [`recognise`](Self::recognise), with the configs in the file's folder.
    ///
    /// # Errors
    /// As [`recognise`](Self::recognise).
    #[cfg(not(target_family = "wasm"))]
    pub fn recognise_on_disk(&self) -> Result<Recognised> {
        self.recognise(|name| {
            let path = self.path().parent()?.join(name);
            let size = std::fs::metadata(&path).ok()?.len();
            (size <= MAX_CONFIG).then(|| std::fs::read_to_string(path).ok())?
        })
    }

    /// Works out the architecture from the tensors and the configs beside the file,
    /// whose text `beside` gives by name. A file written by `save` states it itself.
    ///
    /// # Errors
    /// [`Error::Naming`] where the names are those of no known model or the shape
    /// is ambiguous.
    pub fn recognise(&self, beside: impl Fn(&str) -> Option<String>) -> Result<Recognised> {
        if let Some((arch, config)) = self.stored_config()? {
            let of_arch = || preset(&arch).map_or(Statistics::Half.mean_std(), Preset::mean_std);
            let mean_std = self.stored_mean_std().unwrap_or_else(of_arch);
            return Ok(Recognised {
                arch,
                config,
                naming: "singer",
                mean_std,
                assumed: Vec::new(),
            });
        }
        let translated = self.translate()?;
        let fault = |reason: String| Error::Naming { path: self.path().to_owned(), reason };
        let facts = Facts::of(&translated.tensors).map_err(fault)?;
        let stated = Stated::of(beside);
        let found = Search { facts, stated, translated: &translated, assumed: Vec::new() }.run();
        let mut recognised = found.map_err(fault)?;
        recognised.assumed.splice(0..0, self.taken());
        recognised.config.validate().map_err(|error| fault(error.to_string()))?;
        Ok(recognised)
    }
}

struct Search<'t> {
    facts: Facts,
    stated: Stated,
    translated: &'t Translated,
    assumed: Vec<String>,
}

impl Search<'_> {
    fn run(mut self) -> Result<Recognised, String> {
        let shown = self.facts.family();
        // A name that the tensors contradict is ignored.
        self.stated.preset =
            self.stated.preset.filter(|preset| preset.family.by_tensors() == shown);
        let family = self.family(shown)?;
        let mut config = self.inferred(family)?;
        let defaults = self.translated.naming.defaults;

        // Presets of this shape, whatever their image size and classes.
        let candidates: Vec<&'static Preset> =
            presets().iter().filter(|preset| same_build(&preset.config(), &config)).collect();
        config.num_heads = self.heads(&candidates)?;
        config.img_size = self.image_size(&mut config, &candidates)?;
        config.positions = counted(&config, &candidates);
        let candidates: Vec<&'static Preset> = candidates
            .into_iter()
            .filter(|preset| {
                let published = preset.config();
                same_build(&published, &config)
                    && published.img_size == config.img_size
                    && published.num_heads == config.num_heads
            })
            .collect();
        let of_classes: Vec<&'static Preset> = candidates
            .iter()
            .copied()
            .filter(|preset| preset.config().num_classes == config.num_classes)
            .collect();
        let candidates = if of_classes.is_empty() { candidates } else { of_classes };

        config.norm_eps = self.stated.norm_eps.or(defaults.norm_eps).unwrap_or(config.norm_eps);
        config.mlp = self.mlp(family, &candidates)?;
        let chosen = self.choose(&candidates, &config);
        let mean_std = self.mean_std(family, chosen, &candidates);
        let arch = chosen.map_or_else(|| description(family, &config), |p| p.name.to_owned());
        if let Some(rival) = self.rival(shown, &config) {
            self.assumed.push(format!(
                "took it for {arch}; {rival} has the same tensors and is pooled otherwise: name the architecture where it is meant"
            ));
        }
        for what in &self.translated.left_out {
            self.assumed.push(format!("left out {what}"));
        }
        if let Some(first) = self.translated.beside.first() {
            let count = self.translated.beside.len();
            self.assumed.push(format!("left out {count} tensors beside the ViT, such as {first}"));
        }
        if let Some(name) = &self.stated.unknown_arch {
            self.assumed.push(format!(
                "its config.json names {name}, which is not known here: took it for the {arch} that its tensors describe"
            ));
        }
        let naming = self.translated.naming.title;
        Ok(Recognised { arch, config, naming, mean_std, assumed: self.assumed })
    }

    /// The family: the one that a config names, else of those with these tensors the first
    /// that has a model of this shape.
    fn family(&self, shown: Family) -> Result<Family, String> {
        if let Some(preset) = self.stated.preset {
            return Ok(preset.family);
        }
        let known = |family: Family| {
            let config = self.inferred(family)?;
            let mut models = presets().iter().filter(|preset| preset.family == family);
            Ok::<bool, String>(models.any(|preset| same_build(&preset.config(), &config)))
        };
        let mut kin = vec![shown];
        for family in presets().iter().map(|preset| preset.family) {
            if family.by_tensors() == shown && !kin.contains(&family) {
                kin.push(family);
            }
        }
        for family in kin {
            if known(family)? {
                return Ok(family);
            }
        }
        Ok(shown)
    }

    /// Another family's model with the same tensors that computes another output.
    fn rival(&self, shown: Family, config: &VitConfig) -> Option<&'static str> {
        let differs = |preset: &&Preset| {
            let other = preset.config();
            let alike = VitConfig { pooling: other.pooling, ..config.clone() };
            other.pooling != config.pooling && same_build(&other, &alike)
        };
        let mut kin = presets().iter().filter(|preset| preset.family.by_tensors() == shown);
        let rival = kin.find(differs)?;
        self.stated.preset.is_none().then_some(rival.name)
    }

    /// The configuration that the tensors show; the rest is the family's.
    fn inferred(&self, family: Family) -> Result<VitConfig, String> {
        let facts = &self.facts;
        let base = family.config();
        if facts.query_bias && facts.positions.is_some() && !facts.gated {
            return Err("it is an EVA whose MLPs have no gate (EVA-1, or EVA-02's ViT-E), which is not known here; EVA-02's other sizes are".into());
        }
        let positions = match (facts.positions, base.positions) {
            (Some(_), both @ Positions::LearnedAndRotary { .. }) => both,
            (Some(_), _) => Positions::Learned,
            (None, Positions::Rotary { temperature }) => {
                Positions::Rotary { temperature: self.stated.temperature.unwrap_or(temperature) }
            }
            (None, _) => return Err("it has no positions".into()),
        };
        Ok(VitConfig {
            patch_size: facts.patch_size,
            embed_dim: facts.embed_dim,
            depth: facts.depth,
            mlp_ratio: ratio(facts.hidden_dim, facts.embed_dim),
            num_classes: facts.num_classes,
            reg_tokens: facts.reg_tokens,
            no_embed_class: base.no_embed_class && facts.class_token,
            init_values: facts.layer_scale.then(|| base.init_values.unwrap_or(1e-5)),
            class_token: facts.class_token,
            pre_norm: facts.pre_norm,
            mlp: if facts.gated { Activation::Swiglu } else { Activation::Gelu },
            qkv_bias: match (facts.qkv_bias, facts.query_bias) {
                (true, _) => QkvBias::All,
                (false, true) => QkvBias::QueryValue,
                (false, false) => QkvBias::None,
            },
            positions,
            pooling: match (facts.attn_pool, base.pooling) {
                (true, _) => Pooling::Attention,
                // A norm of the pooled vector alone is timm's global_pool='avg'.
                (false, Pooling::Token) if facts.class_token && (facts.norm || !facts.fc_norm) => {
                    Pooling::Token
                }
                (false, _) => Pooling::Mean,
            },
            final_norm: match (facts.norm, facts.fc_norm) {
                (true, _) => FinalNorm::Tokens,
                (false, true) => FinalNorm::Pooled,
                // One that its family has is then reported as missing.
                (false, false) => base.final_norm,
            },
            scale_mlp: facts.mlp_norm,
            scale_attn_inner: facts.attn_norm,
            attn_pool_mlp_ratio: base.attn_pool_mlp_ratio.map(|of_family| {
                facts.pool_hidden.map_or(of_family, |hidden| ratio(hidden, facts.embed_dim))
            }),
            ..base
        })
    }

    fn heads(&mut self, candidates: &[&Preset]) -> Result<usize, String> {
        let width = self.facts.embed_dim;
        let by_periods = || self.translated.head_dim.filter(|&d| d > 0).map(|d| width / d);
        let by_preset = || candidates.first().map(|preset| preset.config().num_heads);
        let of_timm = || {
            let config = self.stated.preset?.config();
            (config.embed_dim == width).then_some(config.num_heads)
        };
        let known = self.stated.num_heads.or_else(by_periods).or_else(of_timm).or_else(by_preset);
        if let Some(heads) = known {
            return Ok(heads);
        }
        if !width.is_multiple_of(64) {
            return Err(format!(
                "nothing tells its number of attention heads ({width} channels are no multiple of 64); put its config.json beside it"
            ));
        }
        let heads = width / 64;
        self.assumed.push(format!("assumed {heads} attention heads of 64 channels; a config.json beside the file can say otherwise"));
        Ok(heads)
    }

    /// The image size; sets in the config whether positions cover patch tokens only.
    fn image_size(
        &self,
        config: &mut VitConfig,
        candidates: &[&Preset],
    ) -> Result<[usize; 2], String> {
        let patch = self.facts.patch_size;
        let Some(rows) = self.facts.positions else {
            let published = || Some([candidates.first()?.config().img_size[0]; 2]);
            let default = 16 * patch;
            let size = self.stated.img_size.or_else(published).unwrap_or([default; 2]);
            let grid = size.map(|side| (side / patch).max(1));
            return match grid[0].checked_mul(grid[1]) {
                Some(..=MAX_PATCHES) => Ok(grid.map(|side| side * patch)),
                _ => Err(format!("its config names the image size {size:?}, which is too large")),
            };
        };
        let of_timm = || self.stated.preset.map(|preset| preset.config().img_size);
        let stated = self.stated.img_size.or_else(of_timm);
        let (grid, bare) = self.facts.grid(rows, stated).ok_or_else(|| {
            format!(
                "its {rows} positions make no square grid of patches; put its config.json, which says the image size, beside it"
            )
        })?;
        config.no_embed_class = bare;
        Ok(grid.map(|side| side * patch))
    }

    fn mlp(&mut self, family: Family, candidates: &[&Preset]) -> Result<Activation, String> {
        if self.facts.gated {
            return match self.stated.activation.as_deref() {
                Some(name @ ("gelu" | "quick_gelu")) if self.facts.positions.is_none() => {
                    Err(format!("its MLPs are gated by {name}; only SiLU is known"))
                }
                _ => Ok(Activation::Swiglu),
            };
        }
        if let Some(kind) = self.stated.mlp(false)? {
            return Ok(kind);
        }
        if let Some(preset) = self.stated.preset {
            return Ok(preset.config().mlp);
        }
        let default = self.translated.naming.defaults.mlp;
        let kinds: Vec<Activation> = candidates.iter().map(|preset| preset.config().mlp).collect();
        let kind = default.or(kinds.first().copied()).unwrap_or_default();
        let certain = !kinds.is_empty() && kinds.iter().all(|&other| other == kind);
        if family == Family::Clip && !certain && self.translated.naming.activation_varies {
            let (name, other) = match kind {
                Activation::QuickGelu => ("QuickGELU", "exact GELU, as in OpenCLIP"),
                _ => ("exact GELU", "QuickGELU, as in OpenAI's own weights"),
            };
            self.assumed.push(format!(
                "assumed {name} in the MLPs, which the tensors do not tell; for {other}, put the config beside the file or name the architecture"
            ));
        }
        Ok(kind)
    }

    /// The preset that gives the name: timm's config's, else the first with the same
    /// activation, else one that differs in the form of GELU only.
    fn choose(
        &self,
        candidates: &[&'static Preset],
        config: &VitConfig,
    ) -> Option<&'static Preset> {
        let named = self.stated.preset.filter(|preset| same_build(&preset.config(), config));
        let quick = |kind: Activation| kind == Activation::QuickGelu;
        named.or_else(|| candidates.iter().copied().find(|p| p.config().mlp == config.mlp)).or_else(
            || candidates.iter().copied().find(|p| quick(p.config().mlp) == quick(config.mlp)),
        )
    }

    fn mean_std(
        &mut self,
        family: Family,
        chosen: Option<&Preset>,
        candidates: &[&Preset],
    ) -> ([f32; 3], [f32; 3]) {
        if let Some(stated) = self.stated.mean_std {
            return stated;
        }
        if let Some(preset) = self.stated.preset {
            return preset.mean_std();
        }
        // TIPSv2 has DINOv2's names and statistics of its own.
        let of_naming = self.translated.naming.defaults.statistics;
        if let Some(statistics) = of_naming.filter(|_| family != Family::Tipsv2) {
            return statistics.mean_std();
        }
        let found = chosen.map_or(family.statistics().mean_std(), Preset::mean_std);
        if candidates.is_empty() || candidates.iter().any(|preset| preset.mean_std() != found) {
            let (mean, std) = found;
            self.assumed.push(format!(
                "assumed channel mean {mean:?} and deviation {std:?}, as models of this shape differ in them; a preprocessor_config.json beside the file can say otherwise"
            ));
        }
        found
    }
}

/// Whether two configurations differ in no more than heads, classes, image size,
/// epsilon and activation.
fn same_build(a: &VitConfig, b: &VitConfig) -> bool {
    let key = |config: &VitConfig| {
        (
            (config.patch_size, config.embed_dim, config.depth, config.hidden_dim()),
            (config.class_token, config.reg_tokens, config.pre_norm, config.init_values.is_some()),
            (config.mlp.is_gated(), config.qkv_bias, discriminant(&config.positions)),
            (config.pooling, config.no_embed_class, config.scale_mlp, config.scale_attn_inner),
        )
    };
    key(a) == key(b)
}

/// Positions counted on the grid of the model that was published with this shape, else on the
/// file's own.
fn counted(config: &VitConfig, candidates: &[&Preset]) -> Positions {
    match (config.positions, candidates.first().map(|preset| preset.config().positions)) {
        (Positions::LearnedAndRotary { .. }, Some(published)) => published,
        (Positions::LearnedAndRotary { first, columns_first: true, .. }, None) => {
            Positions::LearnedAndRotary { side: config.grid()[0], first, columns_first: true }
        }
        (positions, _) => positions,
    }
}

/// The `mlp_ratio` whose product with the width, rounded down, is `hidden`.
fn ratio(hidden: usize, width: usize) -> f64 {
    let ratio = hidden as f64 / width as f64;
    let exact = (width as f64 * ratio) as usize == hidden;
    if exact { ratio } else { ratio.next_up() }
}

/// A name for a shape that timm does not name.
fn description(family: Family, config: &VitConfig) -> String {
    let VitConfig { patch_size, embed_dim, depth, img_size: [height, width], .. } = config;
    let size = if height == width { height.to_string() } else { format!("{height}x{width}") };
    format!("{}_d{embed_dim}_l{depth}_patch{patch_size}_{size}", family.slug())
}
