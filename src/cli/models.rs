use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::config::ModelSpec;
use crate::error::{Error, Result};
use crate::hub::{self, Reference};
use crate::vit::{Vit, VitConfig, init_weights, nearest_name, preset};
use crate::weights;

/// A model's name and shape, and where its weights are.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) arch: String,
    pub(super) config: VitConfig,
    pub(super) weights: Option<PathBuf>,
}

/// Works out a model's shape: that of its name, or the one stored in its
/// weights, with the spec's departures. `role` is the config section's name.
pub(super) fn resolve(spec: &ModelSpec, role: &str) -> Result<Resolved> {
    let file = spec.weights.as_deref().map(locate).transpose()?;
    let stored = match &file {
        Some(path) => weights::stored_config(path)?,
        None => None,
    };
    let stated = file.as_deref().and_then(hub::stated_architecture);
    let (arch, mut config) = match (&spec.arch, stored, stated) {
        (Some(arch), ..) => (arch.clone(), named(arch, role)?),
        (None, Some((arch, config)), _) => (arch, config),
        (None, None, Some((arch, classes))) => {
            let mut config = named(&arch, role)?;
            config.num_classes = classes.unwrap_or(config.num_classes);
            (arch, config)
        }
        (None, None, None) => {
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
    Ok(Resolved { arch, config, weights: file })
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

fn named(arch: &str, role: &str) -> Result<VitConfig> {
    preset(arch).map(|preset| preset.config()).ok_or_else(|| {
        Error::config(format!(
            "{role}.arch is `{arch}`, which is not known; did you mean `{}`?",
            nearest_name(arch)
        ))
    })
}

/// The model with its weights, or new ones from `seed`.
pub(super) fn build(model: &Resolved, seed: u64, device: &Device) -> Result<Vit> {
    match &model.weights {
        Some(path) => weights::load(path, &model.arch, &model.config, device),
        None => Ok(init_weights(model.config.build(device)?, seed)),
    }
}

/// A model for measuring: its weights file says the shape, `arch` where it does
/// not.
pub(super) fn open(weights: &Path, arch: Option<&str>) -> Result<Resolved> {
    let spec = ModelSpec {
        arch: arch.map(str::to_owned),
        weights: Some(weights.to_owned()),
        ..ModelSpec::default()
    };
    resolve(&spec, "model").map_err(|error| match error {
        Error::Config(message) if arch.is_none() => Error::Config(
            message.replace("set model.arch or --model", "add --arch with its timm name"),
        ),
        other => other,
    })
}
