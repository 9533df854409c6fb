//! A model as one value: the transformer with its name, shape and preparation of images,
//! opened from any reference and written in any format.

#[cfg(not(target_family = "wasm"))]
mod locate;
mod preparation;
mod resolved;
mod spec;

#[cfg(not(target_family = "wasm"))]
pub use locate::locate;
pub use preparation::PreprocessOptions;
pub use resolved::ResolvedModel;
pub use spec::{ImageSize, ModelSpec};

use std::collections::BTreeMap;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;
use std::path::PathBuf;

use burn::tensor::Tensor;
use image::RgbImage;

use crate::data::Preprocess;
use crate::device::Device;
use crate::error::{Error, Result};
#[cfg(not(target_family = "wasm"))]
use crate::export::{Card, ExportOptions, Exported, Exporter, Format, Provenance};
use crate::vit::{Vit, VitConfig};
use crate::weights::{self, NamedTensors, PREPROCESS_KEY};

/// Images that a model computes at once in [`Model::features`].
const BATCH: usize = 32;

/// A Vision Transformer that knows its name and shape and how its images are prepared.
///
/// ```
/// use image::RgbImage;
/// use singer::{Device, Model, readback};
///
/// let device = Device::open("cpu")?;
/// let teacher = Model::open("assets/demo-teacher.safetensors", &device)?;
/// let image = RgbImage::from_fn(48, 40, |x, y| image::Rgb([x as u8, y as u8, 99]));
/// let layers = teacher.features(&[image], &[2, 5])?; // one `[B, T, D]` for each block
/// assert_eq!(layers[1].dims(), [1, 65, 128]);
/// let values: Vec<f32> = readback::read(layers[1].clone())?; // on the host, row-major
/// # assert_eq!(values.len(), 65 * 128);
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    vit: Vit,
    arch: String,
    config: VitConfig,
    preprocess: Preprocess,
    assumed: Vec<String>,
    /// Where it comes from.
    #[cfg(not(target_family = "wasm"))]
    card: Card,
    /// The file or folder of its weights.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "browsers have no paths"))]
    weights: Option<PathBuf>,
}

impl Model {
    /// Opens weights: a file or folder in any published naming, a run's folder, a model of the hub
    /// (`hf-hub:OWNER/NAME[/FILE][@REVISION]`), or a timm name with the tag of its weights
    /// (`vit_small_patch16_224.augreg_in21k`), which is fetched from the hub. Family,
    /// shape and preparation of images are recognised; see [`assumed`](Self::assumed). A
    /// [`ModelSpec`] overrules them.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`], [`Error::Naming`] and [`Error::Mismatch`] for
    /// files that cannot be read or are of no known model, [`Error::Hub`] for a model that
    /// cannot be had, [`Error::Data`] for a config file beside the weights that asks for
    /// an unknown step.
    #[cfg(not(target_family = "wasm"))]
    pub fn open(reference: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let origin = Provenance::of(reference.as_ref())?;
        let model = ModelSpec::weights(&origin.weights).resolve()?.load(0, device)?;
        Ok(model.with_card(origin.card()))
    }

    /// A new model with random weights from `seed`: a timm name, or a [`ModelSpec`]. A
    /// spec with weights opens those.
    ///
    /// ```
    /// # use singer::{Device, Model};
    /// let model = Model::new("vit_tiny_patch16_224", 7, &Device::cpu())?;
    /// assert_eq!(model.config().depth, 12);
    /// # Ok::<(), singer::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ModelSpec::resolve`] and [`open`](Self::open).
    #[cfg(not(target_family = "wasm"))]
    pub fn new(spec: impl Into<ModelSpec>, seed: u64, device: &Device) -> Result<Self> {
        spec.into().resolve()?.load(seed, device)
    }

    /// The model of a safetensors file in memory, called `name` in messages; `configs` are
    /// the texts of config files that belong to it, by name (`config.json`,
    /// `preprocessor_config.json` and the like).
    ///
    /// # Errors
    /// As `open`, but for those of reading.
    pub fn from_bytes(
        name: &str,
        bytes: Vec<u8>,
        configs: BTreeMap<String, String>,
        device: &Device,
    ) -> Result<Self> {
        ResolvedModel::from_bytes(name, bytes, configs)?.load(0, device)
    }

    /// A model from its parts, such as a student that your own loop trained: `vit` without
    /// gradients, of the shape `config`.
    pub fn from_parts(
        vit: Vit,
        arch: impl Into<String>,
        config: VitConfig,
        preprocess: Preprocess,
    ) -> Self {
        Self {
            vit,
            arch: arch.into(),
            config,
            preprocess,
            assumed: Vec::new(),
            #[cfg(not(target_family = "wasm"))]
            card: Card::default(),
            weights: None,
        }
    }

    /// The transformer.
    pub fn vit(&self) -> &Vit {
        &self.vit
    }

    /// The transformer alone.
    pub fn into_vit(self) -> Vit {
        self.vit
    }

    /// timm's name where a published model has this shape, else a description.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The shape.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// How images are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// What no file said of the model and was assumed, a line each: for instance the
    /// number of heads.
    pub fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// The model for images of `size` pixels (`[H, W]`, multiples of its patch size): learned
    /// positions are resampled as timm does, see
    /// [`resample_positions`](crate::vit::resample_positions); rotary ones follow from the grid.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size that is not of whole patches.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_size(self, size: [usize; 2]) -> Result<Self> {
        let config = VitConfig { img_size: size, ..self.config.clone() };
        config.validate()?;
        let vit = self.vit.with_grid(self.config.grid(), config.grid())?;
        Ok(Self { vit, config, ..self })
    }

    /// The model with another preparation of images.
    pub fn with_preprocess(self, preprocess: Preprocess) -> Self {
        Self { preprocess, ..self }
    }

    /// The model with what its exports' model cards say of where it comes from.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_card(self, card: Card) -> Self {
        Self { card, ..self }
    }

    /// The model without its classification head.
    pub fn without_head(mut self) -> Self {
        self.vit.head = None;
        self.config.num_classes = 0;
        self
    }

    /// The tokens leaving each of the blocks `layers`, counted from 0, in the order of
    /// `layers`, as `[B, T, D]` each: class and register tokens first, then the patch
    /// tokens in rows. Images of any size are prepared as the model wants them. No final
    /// norm.
    ///
    /// # Errors
    /// [`Error::Setting`] for a block that the model does not have, or no image.
    pub fn features(&self, images: &[RgbImage], layers: &[usize]) -> Result<Vec<Tensor<3>>> {
        let last = self.vit.depth() - 1;
        if let Some(layer) = layers.iter().find(|&&layer| layer > last) {
            return Err(Error::setting("layers", layer, format!("the blocks are 0 to {last}")));
        }
        if images.is_empty() {
            return Err(Error::setting("images", "empty", "there must be at least one"));
        }
        let mut found = vec![Vec::new(); layers.len()];
        for batch in images.chunks(BATCH) {
            let images = self.preprocess.batch(batch, self.config.img_size, &self.vit.device())?;
            for (found, tokens) in found.iter_mut().zip(self.vit.intermediate(images, layers)) {
                found.push(tokens);
            }
        }
        Ok(found.into_iter().map(|batches| Tensor::cat(batches, 0)).collect())
    }

    /// Writes the model as safetensors with timm's names; shape and preparation of images
    /// go into the file, so that [`open`](Self::open) needs nothing beside it.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written; nothing half-written stays.
    #[cfg(not(target_family = "wasm"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (arch, notes) = (&self.arch, self.notes());
        weights::save_with_notes(&self.vit, arch, &self.config, &notes, path.as_ref())
    }

    /// What [`save`](Self::save) writes. Does not block the thread, which a browser does not allow.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub async fn to_tensors(&self) -> Result<NamedTensors> {
        weights::to_tensors(&self.vit, &self.arch, &self.config, &self.notes()).await
    }

    /// What a file of the model says beside its shape.
    fn notes(&self) -> [(&'static str, String); 1] {
        [(PREPROCESS_KEY, serde_json::to_string(&self.preprocess).unwrap_or_default())]
    }

    /// Writes the model for another runtime: for timm and transformers a folder, for ONNX
    /// a folder or a file whose name ends in `.onnx`. Refuses to replace what is there.
    ///
    /// # Errors
    /// As [`export_with`](Self::export_with).
    #[cfg(not(target_family = "wasm"))]
    pub fn export_to(&self, format: Format, path: impl AsRef<Path>) -> Result<Exported> {
        self.export_with(format, path, &ExportOptions::default())
    }

    /// As [`export_to`](Self::export_to), with options.
    ///
    /// # Errors
    /// [`Error::Export`] where the format cannot express the model, [`Error::Exists`] where
    /// something is in its place, [`Error::Overflow`] where the weights' type cannot hold
    /// their values, [`Error::Io`].
    #[cfg(not(target_family = "wasm"))]
    pub fn export_with(
        &self,
        format: Format,
        path: impl AsRef<Path>,
        options: &ExportOptions,
    ) -> Result<Exported> {
        let Self { vit, arch, config, preprocess, card, .. } = self;
        let exporter = Exporter::new(vit, arch, config, preprocess, card);
        exporter.write(format, path.as_ref(), options)
    }
}
