use std::collections::BTreeMap;

use js_sys::Uint8Array;
use serde::Serialize;
use singer::Device;
use singer::data::Preprocess;
use singer::frozen::FrozenVit;
use singer::model::ResolvedModel;
use singer::vit::VitConfig;

use crate::error::{Fault, Result};

/// Bytes of a file beyond which it is not read: WebAssembly has 4 GiB in all, and
/// loading holds the file and part of the model beside it.
const MOST_BYTES: u32 = 2_000_000_000;

/// A model, and how images reach it.
#[derive(Debug)]
pub struct Model {
    pub vit: FrozenVit,
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
    half: bool,
    assumed: Vec<String>,
}

/// Bytes that a shader can bind at most.
pub fn most_bound(device: &Device) -> u64 {
    match device.gpu() {
        Some(gpu) => gpu.limits().max_storage_buffer_binding_size,
        None => u64::from(u32::MAX),
    }
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
        configs: BTreeMap<String, String>,
        half: bool,
        device: &Device,
    ) -> Result<Self> {
        let found = ResolvedModel::from_bytes(name, bytes, configs)?;
        let config = found.config.clone();
        let parameters = config.num_params()?;
        let bytes = if half { 2 } else { 4 };
        let largest =
            bytes * (config.embed_dim * config.hidden_dim().max(3 * config.embed_dim)) as u64;
        let most_bound = most_bound(device);
        if largest > most_bound {
            let halved = !half && largest / 2 <= most_bound;
            let mend = if halved { ": keep it in half precision" } else { "" };
            return Err(Fault::new(format!(
                "{name}: a weight of {} is {:.1} MB, and this device binds {:.1} MB at most{mend}",
                found.arch,
                largest as f64 / 1e6,
                most_bound as f64 / 1e6
            )));
        }
        let preprocess = found.preprocess()?;
        let vit = found.frozen(half, device)?;
        let info = ModelInfo {
            naming: found.naming().unwrap_or_default(),
            depth: config.depth,
            width: config.embed_dim,
            patch: config.patch_size,
            size: config.img_size,
            prefix: config.prefix_tokens(),
            parameters,
            half,
            assumed: found.assumed().to_vec(),
            arch: found.arch,
        };
        Ok(Self { vit, config, preprocess, info })
    }
}
