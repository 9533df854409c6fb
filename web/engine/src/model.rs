use std::collections::BTreeMap;

use burn::tensor::Tensor;
use image::RgbImage;
use js_sys::Uint8Array;
use serde::Serialize;
use singer::Device;
use singer::data::Preprocess;
use singer::frozen::FrozenVit;
use singer::model::ResolvedModel;
use singer::vit::{Vit, VitConfig};

use crate::error::{Fault, Result};

/// Bytes of a file beyond which it is not read: WebAssembly has 4 GiB in all, and
/// loading holds the file and part of the model beside it.
const MOST_BYTES: u32 = 2_000_000_000;

/// Most images of a batch.
const BATCH: usize = 8;

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

impl ModelInfo {
    /// Of a model in full precision that nothing was assumed for.
    pub fn of(arch: &str, naming: &'static str, config: &VitConfig) -> Result<Self> {
        Ok(Self {
            arch: arch.to_owned(),
            naming,
            depth: config.depth,
            width: config.embed_dim,
            patch: config.patch_size,
            size: config.img_size,
            prefix: config.prefix_tokens(),
            parameters: config.num_params()?,
            half: false,
            assumed: Vec::new(),
        })
    }

    pub fn arch(&self) -> &str {
        &self.arch
    }
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
            half,
            assumed: found.assumed().to_vec(),
            ..ModelInfo::of(&found.arch, found.naming().unwrap_or_default(), &config)?
        };
        Ok(Self { vit, config, preprocess, info })
    }

    /// The model for square images of `side` pixels (0 for its own), cut to whole patches, and
    /// these images in batches: for what burn computes, which takes full precision.
    pub async fn at_side(
        &self,
        images: &[RgbImage],
        side: usize,
        device: &Device,
    ) -> Result<(Vit, Vec<Tensor<4>>)> {
        let vit = self.vit.full().ok_or_else(|| {
            Fault::new(
                "a teacher is refined from its weights in full precision: load it without half precision",
            )
        })?;
        let [height, width] = self.config.img_size;
        let side = if side == 0 { height.min(width) } else { side };
        let patches = (side / self.config.patch_size).max(1);
        let side = patches * self.config.patch_size;
        let vit = vit.with_grid_async(self.config.grid(), [patches; 2]).await?;
        let batches = images
            .chunks(BATCH)
            .map(|images| self.preprocess.batch(images, [side; 2], device.burn()))
            .collect::<singer::Result<_>>()?;
        Ok((vit, batches))
    }
}
