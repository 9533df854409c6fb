use std::collections::BTreeMap;
use std::path::Path;
#[cfg(not(target_family = "wasm"))]
use std::path::PathBuf;

#[cfg(not(target_family = "wasm"))]
use burn::module::Module;
use burn::tensor::Device as BurnDevice;

use super::{Model, ModelSpec};
use crate::data::{Normalise, Preprocess};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::frozen::FrozenVit;
use crate::vit::{Preset, Vit, VitConfig, init_weights, nearest_name, preset};
#[cfg(not(target_family = "wasm"))]
use crate::weights;
use crate::weights::{PREPROCESS_KEY, Recognised, WeightsFile};

/// A model of which everything is known but no weight is read yet: what a [`ModelSpec`],
/// or a file in memory, resolves to.
#[derive(Debug, Clone)]
pub struct ResolvedModel {
    /// timm's name where a published model has this shape, else a description.
    pub arch: String,
    /// The shape.
    pub config: VitConfig,
    /// The image size that the weights have positions for.
    #[cfg_attr(
        target_family = "wasm",
        expect(dead_code, reason = "there a model is opened at its own size")
    )]
    stored_size: [usize; 2],
    /// Classes of the weights' head, where they are known.
    stored_classes: Option<usize>,
    source: Source,
    /// Channel mean and deviation of its images, where no file says more.
    mean_std: ([f32; 3], [f32; 3]),
    naming: Option<&'static str>,
    assumed: Vec<String>,
}

/// Where the weights come from.
#[derive(Debug, Clone)]
enum Source {
    /// A random generator.
    New,
    /// A file or folder, with config files beside it, and which of its models.
    #[cfg(not(target_family = "wasm"))]
    Disk(PathBuf, Option<String>),
    /// A model that is open already.
    #[cfg(not(target_family = "wasm"))]
    Open(Box<Model>),
    /// A file in memory, with the text of the config files that belong to it, by name.
    Memory(WeightsFile, BTreeMap<String, String>),
}

impl ModelSpec {
    /// Works out the shape: that of the architecture's name, else the one that the weights
    /// are recognised to have, with the departures of this spec. Weights of the hub are
    /// fetched. Another image size than that of the weights resamples their positions.
    ///
    /// # Errors
    /// [`Error::UnknownArch`]; [`Error::Setting`] for a shape that cannot be; those of
    /// [`locate`](super::locate) and [`weights::recognise`](crate::weights::recognise).
    #[cfg(not(target_family = "wasm"))]
    pub fn resolve(&self) -> Result<ResolvedModel> {
        let found = match &self.weights {
            Some(reference) => {
                let path = super::locate(reference, &mut |_, _, _| ())?;
                let key = self.weights_key.clone();
                let file = WeightsFile::open_under(&path, key.as_deref())?;
                Some((file.recognise_on_disk(), file.taken(), Source::Disk(path, key)))
            }
            None => None,
        };
        self.resolve_from(found)
    }

    /// As [`resolve`](Self::resolve); errors of settings name the model's role, such as
    /// `teacher`.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), with [`Error::ModelSetting`] for settings.
    #[cfg(not(target_family = "wasm"))]
    pub fn resolve_for(&self, role: &'static str) -> Result<ResolvedModel> {
        self.resolve().map_err(|error| match error {
            Error::Setting { setting, value, expected } => {
                Error::ModelSetting { role, setting, value, expected }
            }
            other => other,
        })
    }

    /// As `resolve`, with what the weights were recognised as, and what of their file was taken.
    fn resolve_from(
        &self,
        weights: Option<(Result<Recognised>, Option<String>, Source)>,
    ) -> Result<ResolvedModel> {
        let mut resolved = match (&self.arch, weights) {
            (Some(arch), weights) => {
                let preset = preset(arch).ok_or_else(|| Error::UnknownArch {
                    arch: arch.clone(),
                    nearest: nearest_name(arch),
                })?;
                let mut config = preset.config();
                let (found, taken, source) = match weights {
                    // Which model is meant, the architecture does not tell.
                    Some((Err(error @ Error::SeveralModels { .. }), ..)) => return Err(error),
                    Some((found, taken, source)) => (found.ok(), taken, source),
                    None => (None, None, Source::New),
                };
                let mut stored_size = config.img_size;
                // A name leaves open whether the weights have their head, and their size where
                // another is asked for.
                if let Some(found) = &found {
                    config.num_classes = found.config.num_classes;
                    if self.img_size.is_some() {
                        stored_size = found.config.img_size;
                    }
                }
                ResolvedModel {
                    arch: arch.clone(),
                    config,
                    stored_size,
                    stored_classes: found.as_ref().map(|found| found.config.num_classes),
                    source,
                    mean_std: preset.mean_std(),
                    naming: found.map(|found| found.naming),
                    assumed: taken.into_iter().collect(),
                }
            }
            (None, Some((found, _, source))) => {
                let Recognised { arch, config, naming, mean_std, assumed } = found?;
                ResolvedModel {
                    arch,
                    stored_size: config.img_size,
                    stored_classes: Some(config.num_classes),
                    config,
                    source,
                    mean_std,
                    naming: Some(naming),
                    assumed,
                }
            }
            (None, None) => {
                return Err(Error::setting(
                    "arch",
                    "not given",
                    "a model needs the name of its architecture, or weights",
                ));
            }
        };
        let config = &mut resolved.config;
        if let Some(size) = self.img_size {
            config.img_size = size.sides();
        }
        let set = |slot: &mut usize, value: Option<usize>| *slot = value.unwrap_or(*slot);
        set(&mut config.patch_size, self.patch_size);
        set(&mut config.embed_dim, self.embed_dim);
        set(&mut config.depth, self.depth);
        set(&mut config.num_heads, self.num_heads);
        set(&mut config.num_classes, self.num_classes);
        set(&mut config.reg_tokens, self.reg_tokens);
        config.mlp_ratio = self.mlp_ratio.unwrap_or(config.mlp_ratio);
        config.validate()?;
        let classes = config.num_classes;
        if let Some(stored) = resolved.stored_classes.filter(|&stored| stored != classes) {
            resolved.assumed.push(match classes {
                0 => format!("left out its head of {stored} classes"),
                _ => format!("made a new head of {classes} classes; its own has {stored}"),
            });
        }
        Ok(resolved)
    }
}

impl ResolvedModel {
    /// The model of a safetensors file in memory, called `name` in messages; `configs` are
    /// the texts of config files that belong to it, by name (`config.json`,
    /// `preprocessor_config.json` and the like).
    ///
    /// # Errors
    /// [`Error::Checkpoint`] and [`Error::Naming`] for a file that is damaged or of no
    /// known model.
    pub fn from_bytes(
        name: &str,
        bytes: Vec<u8>,
        configs: BTreeMap<String, String>,
    ) -> Result<Self> {
        let file = WeightsFile::from_bytes(name, bytes)?;
        let found = file.recognise(|config| configs.get(config).cloned());
        let taken = file.taken();
        ModelSpec::default().resolve_from(Some((found, taken, Source::Memory(file, configs))))
    }

    /// Which of the models in the file of the weights was asked for.
    pub fn weights_key(&self) -> Option<&str> {
        match &self.source {
            #[cfg(not(target_family = "wasm"))]
            Source::Disk(_, key) => key.as_deref(),
            _ => None,
        }
    }

    /// The file or folder of the weights; none for a new model and one in memory.
    pub fn weights(&self) -> Option<&Path> {
        match &self.source {
            #[cfg(not(target_family = "wasm"))]
            Source::Disk(path, _) => Some(path),
            #[cfg(not(target_family = "wasm"))]
            Source::Open(model) => model.weights.as_deref(),
            Source::New | Source::Memory(..) => None,
        }
    }

    /// Whose names the file's tensors have; none for a new model.
    pub fn naming(&self) -> Option<&'static str> {
        self.naming
    }

    /// What no file says and was assumed, a line each.
    pub fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// A new model of the same name and shape.
    pub fn without_weights(self) -> Self {
        Self { source: Source::New, assumed: Vec::new(), ..self }
    }

    /// How images are prepared for the model: as its file of weights says, else as the
    /// config files beside it do, else as its published model was measured.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the weights' own entry is damaged, [`Error::Data`] where
    /// a config file is, or asks for a step that is not known.
    pub fn preprocess(&self) -> Result<Preprocess> {
        let published = preset(&self.arch).map(Preset::preprocess).unwrap_or_default();
        let stated = match &self.source {
            Source::New => None,
            #[cfg(not(target_family = "wasm"))]
            Source::Open(model) => Some(*model.preprocess()),
            #[cfg(not(target_family = "wasm"))]
            Source::Disk(path, _) => {
                let note = weights::stored_note(path, PREPROCESS_KEY)?;
                match stored(path, note.as_deref())? {
                    Some(stored) => Some(stored),
                    None => Preprocess::beside(path, &self.arch, &published)?,
                }
            }
            Source::Memory(file, configs) => {
                let note = file.metadata().get(PREPROCESS_KEY);
                match stored(file.path(), note.map(String::as_str))? {
                    Some(stored) => Some(stored),
                    None => Preprocess::of_configs(&self.arch, &published, |name| {
                        Ok(configs.get(name).cloned())
                    })?,
                }
            }
        };
        Ok(stated.unwrap_or_else(|| {
            let (mean, std) = self.mean_std;
            Preprocess { normalise: Normalise { mean, std }, ..published }
        }))
    }

    /// The transformer with its weights, or with new ones from `seed`, on one of burn's
    /// devices: for training, one that records gradients
    /// ([`Device::autodiff`](crate::Device::autodiff)).
    ///
    /// # Errors
    /// As [`WeightsFile::load`].
    pub fn build(&self, seed: u64, device: &BurnDevice) -> Result<Vit> {
        match &self.source {
            Source::New => Ok(init_weights(self.config.build(device)?, seed)),
            #[cfg(not(target_family = "wasm"))]
            Source::Disk(path, key) => {
                let stored = self.stored_config();
                let vit = WeightsFile::open_under(path, key.as_deref())?
                    .load(&self.arch, &stored, device)?;
                let mut vit = vit.with_grid(stored.grid(), self.config.grid())?;
                if stored.num_classes == self.config.num_classes {
                    return Ok(vit);
                }
                vit.head = match self.config.num_classes {
                    0 => None,
                    _ => init_weights(self.config.build(device)?, seed).head,
                };
                Ok(vit)
            }
            #[cfg(not(target_family = "wasm"))]
            Source::Open(model) => Ok(model.vit().clone().fork(device)),
            Source::Memory(file, _) => file.load(&self.arch, &self.config, device),
        }
    }

    /// The shape that the weights have.
    #[cfg(not(target_family = "wasm"))]
    fn stored_config(&self) -> VitConfig {
        let num_classes = self.stored_classes.unwrap_or(self.config.num_classes);
        VitConfig { img_size: self.stored_size, num_classes, ..self.config.clone() }
    }

    /// The transformer for features alone, by our shaders on a GPU. With `half`, its
    /// matrices stay in half precision, and so take half the memory.
    ///
    /// # Errors
    /// As [`build`](Self::build), [`FrozenVit::new`] and [`FrozenVit::load_half`].
    pub fn frozen(&self, half: bool, device: &Device) -> Result<FrozenVit> {
        let file = match &self.source {
            Source::New => None,
            #[cfg(not(target_family = "wasm"))]
            Source::Open(_) => None,
            #[cfg(not(target_family = "wasm"))]
            Source::Disk(path, key) => Some(WeightsFile::open_under(path, key.as_deref())?),
            Source::Memory(file, _) => Some(file.clone()),
        };
        match file.filter(|_| half) {
            #[cfg(not(target_family = "wasm"))]
            Some(file) => {
                let stored = self.stored_config();
                let frozen = FrozenVit::load_half(&file, &self.arch, &stored, device)?;
                frozen.with_grid(device, stored.grid(), self.config.grid())
            }
            #[cfg(target_family = "wasm")]
            Some(file) => FrozenVit::load_half(&file, &self.arch, &self.config, device),
            None => FrozenVit::new(self.build(0, device.burn())?, device),
        }
    }

    /// The model on its device, with its weights, or with new ones from `seed`.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`preprocess`](Self::preprocess).
    pub fn load(self, seed: u64, device: &Device) -> Result<Model> {
        let preprocess = self.preprocess()?;
        let vit = self.build(seed, device.burn())?;
        let weights = self.weights().map(Path::to_owned);
        let Self { arch, config, assumed, .. } = self;
        Ok(Model { assumed, weights, ..Model::from_parts(vit, arch, config, preprocess) })
    }
}

#[cfg(not(target_family = "wasm"))]
impl Model {
    /// What is known of the model, as a spec of it resolves to.
    pub(crate) fn resolved(&self) -> ResolvedModel {
        let normalise = self.preprocess.normalise;
        ResolvedModel {
            arch: self.arch.clone(),
            config: self.config.clone(),
            stored_size: self.config.img_size,
            stored_classes: None,
            source: Source::Open(Box::new(self.clone())),
            mean_std: (normalise.mean, normalise.std),
            naming: None,
            assumed: self.assumed.clone(),
        }
    }
}

/// The preparation that a file of ours notes in its metadata.
fn stored(path: &Path, note: Option<&str>) -> Result<Option<Preprocess>> {
    let damaged = |error: serde_json::Error| Error::Checkpoint {
        path: path.to_owned(),
        reason: format!("its {PREPROCESS_KEY} entry is damaged: {error}"),
    };
    note.map(|text| serde_json::from_str(text).map_err(damaged)).transpose()
}
