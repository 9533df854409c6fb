use std::collections::BTreeMap;

use burn::tensor::Device;
use js_sys::Uint8Array;
use serde::Serialize;
use singer::data::{Normalise, Preprocess};
use singer::vit::{Vit, VitConfig, preset};
use singer::weights::{PREPROCESS_KEY, WeightsFile};

use crate::error::{Fault, Result};

/// Bytes of a file beyond which it is not read: WebAssembly has 4 GiB in all, and
/// loading holds the file and part of the model beside it.
const MOST_BYTES: u32 = 2_000_000_000;

/// A model, and how images reach it.
#[derive(Debug)]
pub struct Model {
    pub vit: Vit,
    pub config: VitConfig,
    pub preprocess: Preprocess,
    pub info: ModelInfo,
}

/// `ModelInfo` of types.d.ts.
#[derive(Debug, Clone, Serialize)]
pub struct ModelInfo {
    arch: String,
    naming: &'static str,
    depth: usize,
    width: usize,
    patch: usize,
    size: [usize; 2],
    prefix: usize,
    parameters: usize,
    assumed: Vec<String>,
}

/// A file's bytes, where WebAssembly can hold them.
pub fn bytes_of(name: &str, bytes: &Uint8Array) -> Result<Vec<u8>> {
    let length = bytes.length();
    if length > MOST_BYTES {
        return Err(Fault::new(format!(
            "{name} has {} MB; a page can load {} MB: export it as f16, or use a smaller model",
            length / 1_000_000,
            MOST_BYTES / 1_000_000
        )));
    }
    Ok(bytes.to_vec())
}

impl Model {
    /// From a safetensors file of any known naming, with the texts of the configs
    /// that lie beside it, by name.
    pub fn load(
        name: &str,
        bytes: Vec<u8>,
        configs: &BTreeMap<String, String>,
        device: &Device,
        most_bound: u64,
    ) -> Result<Self> {
        let file = WeightsFile::from_bytes(name, bytes)?;
        let found = file.recognise(|config| configs.get(config).cloned())?;
        let config = found.config;
        let parameters = config.num_params()?;
        let largest = 4 * (config.embed_dim * config.hidden_dim().max(3 * config.embed_dim)) as u64;
        if largest > most_bound {
            return Err(Fault::new(format!(
                "{name}: a weight of {} is {} MB, and this device binds {} MB at most",
                found.arch,
                largest / 1_000_000,
                most_bound / 1_000_000
            )));
        }
        let stored: Option<Preprocess> =
            file.metadata().get(PREPROCESS_KEY).and_then(|text| serde_json::from_str(text).ok());
        let preprocess = match stored {
            Some(stored) => stored,
            None => Preprocess::of_configs(&found.arch, |name| Ok(configs.get(name).cloned()))?
                .unwrap_or_else(|| {
                    let (mean, std) = found.mean_std;
                    let usual = preset(&found.arch).map(Preprocess::of).unwrap_or_default();
                    Preprocess { normalise: Normalise { mean, std }, ..usual }
                }),
        };
        let vit = file.load(&found.arch, &config, device)?;
        let info = ModelInfo {
            naming: found.naming,
            depth: config.depth,
            width: config.embed_dim,
            patch: config.patch_size,
            size: config.img_size,
            prefix: config.prefix_tokens(),
            parameters,
            assumed: found.assumed,
            arch: found.arch,
        };
        Ok(Self { vit, config, preprocess, info })
    }
}
