use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, f16};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::folder::{Writer, whole};
use super::key::{Key, ModelKey};
use super::store::{FeatureStore, Gaps};
use crate::data::{ImageSet, Loader, LoaderSettings, Order, Preprocess, Transform, Unreadable};
use crate::error::{Error, Result};
use crate::probe::Lift;
use crate::readback::read;
use crate::vit::{Vit, VitConfig};
use crate::weights::NamedTensors;

/// A chunk file has at most about this many bytes.
const CHUNK_BYTES: usize = 64 << 20;

/// Which part of an image the model sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// What the model's own preparation keeps.
    Crop,
    /// The whole frame, whatever its aspect ratio.
    Stretch,
}

/// The type in which features are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeaturePrecision {
    /// Single precision.
    #[default]
    F32,
    /// Half precision: half the space, about three digits.
    F16,
}

/// Which features are computed, and how they are kept.
#[derive(Debug, Clone)]
pub struct FeatureSettings {
    /// Height and width of the images, in whole patches.
    pub size: [usize; 2],
    /// Which part of the images the model sees.
    pub view: View,
    /// How images are prepared.
    pub preprocess: Preprocess,
    /// Whether the model's final norm is applied to the last block's tokens.
    pub final_norm: bool,
    /// What brings the tokens to the width of the teacher's, after the final norm where that is
    /// applied.
    pub lift: Option<Lift>,
    /// Whether the tokens of all patches are kept, not only their mean.
    pub patches: bool,
    /// The type in which features are kept.
    pub precision: FeaturePrecision,
    /// Images in a batch.
    pub batch: usize,
    /// Decoding threads.
    pub workers: usize,
    /// Largest share of unreadable images that is passed over, 0 to 1.
    pub max_unreadable: f64,
}

impl FeatureSettings {
    /// Width of the features.
    fn dim(&self, model: &Vit) -> usize {
        self.lift.as_ref().map_or(model.embed_dim(), Lift::dim)
    }
}

/// Progress of computing features.
#[derive(Debug, Clone, Copy)]
pub struct FeatureProgress {
    /// Images done.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// The features of `images`: read from `cache` if it holds them complete and intact, else
/// computed and written there. Without `cache` they go into a temporary folder that is
/// deleted with the store. The cache's key is made of the model's weights and shape, the
/// settings, and the names and sizes of the images' files. The flag says whether the
/// features were computed.
///
/// # Errors
/// [`Error::Setting`] for a size that is not whole patches, [`Error::Features`] for
/// features that are not finite or beyond half precision, [`Error::FeatureCache`] where
/// nothing can be written to `cache`, [`Error::Data`] for an unreadable image;
/// [`Error::Io`] and [`Error::Gpu`].
pub fn features(
    (model, config, model_key): (&Vit, &VitConfig, &ModelKey),
    images: &ImageSet,
    settings: &FeatureSettings,
    cache: Option<&Path>,
    device: &Device,
    report: &mut dyn FnMut(FeatureProgress),
) -> Result<(FeatureStore, bool)> {
    let grid = patch_grid(settings.size, config.patch_size)?;
    let key = Key::new(model_key, images, settings)?;
    let temporary = match cache {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?),
    };
    let root = temporary.as_ref().map(TempDir::path).or(cache).unwrap_or(Path::new(""));
    let folder = root.join(&key.name);
    if let Some((paths, per_chunk, gaps)) = whole(&folder, &key)
        && gaps.images.len() <= Unreadable::most(images.len(), settings.max_unreadable)
        && let Ok(store) = FeatureStore::open(&paths, per_chunk, images.len(), gaps, None)
    {
        return Ok((store, false));
    }
    let model = model.with_grid(config.grid(), grid)?;
    let tokens = if settings.patches { 2 + grid[0] * grid[1] } else { 2 };
    let element = if settings.precision == FeaturePrecision::F16 { 2 } else { 4 };
    let bytes = tokens * settings.dim(&model) * element;
    let per_chunk = (CHUNK_BYTES / bytes.max(1)).clamp(1, images.len().max(1));
    let mut writer = Writer::begin(&folder, &key, per_chunk)?;
    let mut chunk = Chunk::new(&model, settings);
    let mut done = 0;
    let transform = match settings.view {
        View::Crop => Transform::Eval(settings.preprocess.transform(settings.size)),
        View::Stretch => Transform::Stretch(settings.size),
    };
    let loader = LoaderSettings {
        batch: settings.batch.max(1),
        seed: 0,
        workers: settings.workers,
        order: Order::Sequential,
        max_unreadable: settings.max_unreadable,
        part: (0, 1),
    };
    let batches =
        Loader::start(images.clone(), transform, settings.preprocess.normalise, loader, 0)?;
    let unreadable = batches.tally();
    for batch in batches {
        let batch = batch?;
        let count = batch.labels.len();
        let pixels = batch.pixels.to_device(settings.size, device);
        let found = Found::new(&model, settings, pixels)?;
        for image in 0..count {
            if !found.add_to(&mut chunk, image) {
                let half = settings.precision == FeaturePrecision::F16;
                let gaps = Gaps::of(&unreadable);
                let index = gaps.readable(images.len()).nth(done + image).unwrap_or_default();
                return Err(Error::Features { image: images.name(index), half });
            }
            if chunk.images == per_chunk {
                writer.chunk(&chunk.take())?;
            }
        }
        done += count;
        report(FeatureProgress { done, total: images.len() });
    }
    if chunk.images > 0 {
        writer.chunk(&chunk.take())?;
    }
    let gaps = Gaps::of(&unreadable);
    let paths = writer.finish(&gaps)?;
    Ok((FeatureStore::open(&paths, per_chunk, images.len(), gaps, temporary)?, true))
}

/// The number of patches along height and width of an image of `size` pixels.
///
/// # Errors
/// [`Error::Setting`] where a side is not a multiple of `patch`.
pub fn patch_grid(size: [usize; 2], patch: usize) -> Result<[usize; 2]> {
    let grid = size.map(|side| side / patch);
    if grid.contains(&0) || grid.map(|side| side * patch) != size {
        let [height, width] = size.map(|side| side.div_ceil(patch).max(1) * patch);
        return Err(Error::setting(
            "size",
            format!("{}x{}", size[0], size[1]),
            format!("the model's patches are {patch}x{patch}: {height}x{width} has whole ones"),
        ));
    }
    Ok(grid)
}

/// The features of a batch on the host.
struct Found {
    dim: usize,
    class: Option<Vec<f32>>,
    mean: Vec<f32>,
    patches: Option<Vec<f32>>,
}

impl Found {
    fn new(model: &Vit, settings: &FeatureSettings, pixels: Tensor<4>) -> Result<Self> {
        let embedded = model.embed(pixels);
        let mut tokens = model.forward_blocks(embedded, 0..model.depth());
        if settings.final_norm {
            tokens = model.final_norm(tokens);
        }
        if let Some(lift) = &settings.lift {
            tokens = lift.forward(tokens, model.cls_token.is_some());
        }
        let (prefix, all) = (model.prefix_tokens(), tokens.dims()[1]);
        let patches = tokens.clone().narrow(1, prefix, all - prefix);
        let mean: Tensor<2> = patches.clone().mean_dim(1).squeeze_dim(1);
        Ok(Self {
            dim: settings.dim(model),
            class: model.class_token(&tokens).map(read).transpose()?,
            mean: read(mean)?,
            patches: settings.patches.then(|| read(patches)).transpose()?,
        })
    }

    /// Adds one image; false if a value is not finite or too large for the type.
    fn add_to(&self, chunk: &mut Chunk, image: usize) -> bool {
        let row = |values: &[f32]| {
            let width = values.len() / (self.mean.len() / self.dim);
            values[image * width..][..width].to_vec()
        };
        let class = self.class.as_deref().map(row).unwrap_or_default();
        let patches = self.patches.as_deref().map(row).unwrap_or_default();
        let mean = row(&self.mean);
        let most = match chunk.precision {
            FeaturePrecision::F16 => f16::MAX.to_f32(),
            FeaturePrecision::F32 => f32::MAX,
        };
        // NaN is not below anything.
        let fits = [&class, &mean, &patches].into_iter().flatten().all(|value| value.abs() <= most);
        chunk.class.extend(class);
        chunk.mean.extend(mean);
        chunk.patches.extend(patches);
        chunk.images += 1;
        fits
    }
}

/// Features for the next chunk file.
struct Chunk {
    dim: usize,
    precision: FeaturePrecision,
    images: usize,
    class: Vec<f32>,
    mean: Vec<f32>,
    patches: Vec<f32>,
}

impl Chunk {
    fn new(model: &Vit, settings: &FeatureSettings) -> Self {
        let (dim, precision) = (settings.dim(model), settings.precision);
        Self { dim, precision, images: 0, class: Vec::new(), mean: Vec::new(), patches: Vec::new() }
    }

    /// The tensors so far; the chunk is empty afterwards.
    fn take(&mut self) -> NamedTensors {
        let (images, dim) = (self.images, self.dim);
        let mut tensors = NamedTensors::default();
        let mut add = |name: &str, values: Vec<f32>, shape: Vec<usize>| {
            if values.is_empty() {
                return;
            }
            let data = match self.precision {
                FeaturePrecision::F32 => TensorData::new(values, shape),
                FeaturePrecision::F16 => {
                    let halves: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
                    TensorData::new(halves, shape)
                }
            };
            tensors.tensors.insert(name.to_owned(), data);
        };
        let per_image = self.patches.len() / (images * dim).max(1);
        add("class", std::mem::take(&mut self.class), vec![images, dim]);
        add("mean", std::mem::take(&mut self.mean), vec![images, dim]);
        add("patches", std::mem::take(&mut self.patches), vec![images, per_image, dim]);
        self.images = 0;
        tensors
    }
}
