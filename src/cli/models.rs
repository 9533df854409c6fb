use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::config::ModelSpec;
use crate::error::{Error, Result};
use crate::hub::Reference;
use crate::vit::{Preset, Vit, VitConfig, init_weights, nearest_name, preset};
use crate::weights;

/// A model's name and shape, and where its weights are.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) arch: String,
    pub(super) config: VitConfig,
    pub(super) weights: Option<PathBuf>,
    /// Channel mean and deviation that the model wants of its images.
    pub(super) mean_std: ([f32; 3], [f32; 3]),
    /// What nothing tells of it and was assumed.
    pub(super) assumed: Vec<String>,
}

/// Works out a model's shape: that of its name, or the one that its weights are
/// recognised to have, with the spec's departures. `role` is the config section's
/// name.
pub(super) fn resolve(spec: &ModelSpec, role: &str) -> Result<Resolved> {
    let file = spec.weights.as_deref().map(locate).transpose()?;
    let (arch, mut config, mean_std, assumed) = match (&spec.arch, &file) {
        (Some(arch), _) => {
            let preset = named(arch, &format!("{role}.arch"))?;
            let mut config = preset.config();
            // A name leaves open whether the weights have their head.
            if let Some(Ok(found)) = file.as_deref().map(weights::recognise) {
                config.num_classes = found.config.num_classes;
            }
            (arch.clone(), config, preset.mean_std(), Vec::new())
        }
        (None, Some(path)) => {
            let found = weights::recognise(path)?;
            (found.arch, found.config, found.mean_std, found.assumed)
        }
        (None, None) => {
            let flag =
                if role == "teacher" { "--teacher-arch".to_owned() } else { format!("--{role}") };
            return Err(Error::config(format!(
                "the {role}'s architecture is not given: set {role}.arch or {flag}, e.g. vit_small_patch16_224"
            )));
        }
    };
    if let Some(side) = spec.img_size {
        config.img_size = side.sides();
    }
    let set = |slot: &mut usize, value: Option<usize>| *slot = value.unwrap_or(*slot);
    set(&mut config.patch_size, spec.patch_size);
    set(&mut config.embed_dim, spec.embed_dim);
    set(&mut config.depth, spec.depth);
    set(&mut config.num_heads, spec.num_heads);
    set(&mut config.num_classes, spec.num_classes);
    set(&mut config.reg_tokens, spec.reg_tokens);
    config.mlp_ratio = spec.mlp_ratio.unwrap_or(config.mlp_ratio);
    config.validate().map_err(|error| Error::config(format!("{role}: {error}")))?;
    Ok(Resolved { arch, config, weights: file, mean_std, assumed })
}

/// The file that a checkpoint's name stands for: a path, a model of the hub
/// (`hf-hub:OWNER/NAME[@REVISION]`), or a timm name with the tag of its weights,
/// which is fetched from the hub.
pub(super) fn locate(name: &Path) -> Result<PathBuf> {
    let text = name.to_string_lossy();
    if let Some(reference) = Reference::parse(&text) {
        return reference?.fetch(true);
    }
    if !name.exists() && text.contains('.') && !text.contains('/') && preset(&text).is_some() {
        return Reference::timm(&text).fetch(true);
    }
    Ok(name.to_owned())
}

pub(super) fn named(arch: &str, role: &str) -> Result<&'static Preset> {
    preset(arch).ok_or_else(|| {
        Error::config(format!(
            "{role} is `{arch}`, which is not known; did you mean `{}`?",
            nearest_name(arch)
        ))
    })
}

/// The model with its weights, or new ones from `seed`. What was assumed of the
/// weights is said on stderr.
pub(super) fn build(model: &Resolved, seed: u64, device: &Device) -> Result<Vit> {
    match &model.weights {
        Some(path) => {
            let vit = weights::load(path, &model.arch, &model.config, device)?;
            for line in &model.assumed {
                eprintln!("singer: {}: {line}", path.display());
            }
            Ok(vit)
        }
        None => Ok(init_weights(model.config.build(device)?, seed)),
    }
}

/// A model for measuring: `arch` names its shape, else its weights file says it.
pub(super) fn open(weights: &Path, arch: Option<&str>) -> Result<Resolved> {
    let spec = ModelSpec {
        arch: arch.map(str::to_owned),
        weights: Some(weights.to_owned()),
        ..ModelSpec::default()
    };
    resolve(&spec, "model")
}
