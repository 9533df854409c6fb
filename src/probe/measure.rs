use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{LabelledFeatures, in_classes, knn_accuracy};
use crate::data::{
    EvalTransform, ImageSet, Loader, LoaderSettings, Normalise, Order, Preprocess, Transform,
};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::readback::read;
use crate::tokens::{NormStats, NormSummary, patch_norms};
use crate::vit::Vit;

/// How images reach a model that is measured.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EvalSettings {
    /// Size and crop.
    pub transform: EvalTransform,
    /// Channel mean and deviation.
    pub normalise: Normalise,
    /// Images in a batch.
    pub batch: usize,
    /// Decoding threads.
    pub workers: usize,
    /// The most images to take, evenly spread over the set; none for all.
    pub limit: Option<usize>,
    /// Largest share of unreadable images that is passed over, 0 to 1.
    pub max_unreadable: f64,
}

impl EvalSettings {
    /// All images, prepared as `preprocess` says to `size` (height and width in pixels), in
    /// batches of 64.
    pub fn new(size: [usize; 2], preprocess: &Preprocess) -> Self {
        Self {
            transform: preprocess.transform(size),
            normalise: preprocess.normalise,
            batch: 64,
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            limit: None,
            max_unreadable: 0.01,
        }
    }

    /// All images, prepared as the model wants them.
    pub fn of(model: &Model) -> Self {
        Self::new(model.config().img_size, model.preprocess())
    }
}

/// Batches `[B, 3, H, W]` of a set, in its order, with their labels.
///
/// # Errors
/// Errors of the data.
pub fn batches(
    images: &ImageSet,
    settings: &EvalSettings,
    device: &Device,
) -> Result<impl Iterator<Item = Result<(Tensor<4>, Vec<usize>)>>> {
    let loader = LoaderSettings {
        batch: settings.batch,
        seed: 0,
        workers: settings.workers,
        order: Order::Sequential,
        max_unreadable: settings.max_unreadable,
        part: (0, 1),
    };
    let images = match settings.limit {
        Some(limit) => images.sample(limit),
        None => images.clone(),
    };
    let size = settings.transform.size;
    let device = device.clone();
    let transform = Transform::Eval(settings.transform);
    let loader = Loader::start(images, transform, settings.normalise, loader, 0)?;
    Ok(loader.map(move |batch| {
        let batch = batch?;
        Ok((batch.pixels.to_device(size, &device), batch.labels))
    }))
}

/// Top-1 accuracy of the model's own head, 0 to 1.
///
/// # Errors
/// Errors of the data and of the device.
pub fn accuracy(
    model: &Vit,
    images: &ImageSet,
    settings: &EvalSettings,
    device: &Device,
) -> Result<f64> {
    let (mut right, mut total) = (0, 0);
    for batch in batches(images, settings, device)? {
        let (batch, labels) = batch?;
        let best = read(model.forward(batch).argmax(1).float())?;
        right += best.iter().zip(&labels).filter(|(a, b)| **a as usize == **b).count();
        total += labels.len();
    }
    Ok(right as f64 / total.max(1) as f64)
}

/// The class token after the last block (no final norm), or the pooled output of
/// a model without class token, scaled to unit length; with the patch norms of that block.
///
/// # Errors
/// Errors of the data and of the device.
pub fn class_features(
    model: &Vit,
    images: &ImageSet,
    settings: &EvalSettings,
    device: &Device,
) -> Result<(LabelledFeatures, Option<NormSummary>)> {
    let mut features = LabelledFeatures { dim: model.embed_dim(), ..LabelledFeatures::default() };
    let mut stats = NormStats::default();
    for batch in batches(images, settings, device)? {
        let (batch, labels) = batch?;
        let embedded = model.embed(batch);
        let tokens = model.forward_blocks(embedded, 0..model.depth());
        stats.add(patch_norms(tokens.clone(), model.prefix_tokens()))?;
        let feature = model.global_feature(tokens);
        let norm = feature.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
        features.rows.extend(read(feature / norm)?);
        features.labels.extend(labels);
    }
    Ok((features, stats.summary()))
}

/// Patch norms of the tokens leaving a model's last block; none without images.
///
/// # Errors
/// Errors of the data and of the device.
pub fn last_block_norms(
    model: &Vit,
    images: &ImageSet,
    settings: &EvalSettings,
    device: &Device,
) -> Result<Option<NormSummary>> {
    let mut stats = NormStats::default();
    for batch in batches(images, settings, device)? {
        let (batch, _) = batch?;
        let tokens = model.forward_blocks(model.embed(batch), 0..model.depth());
        stats.add(patch_norms(tokens, model.prefix_tokens()))?;
    }
    Ok(stats.summary())
}

/// How well a model classifies without any training, and the norms of its patches.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// Top-1 accuracy of the model's head; none where it has no head for these classes.
    pub head_top1: Option<f64>,
    /// Top-1 accuracy of the 20 nearest neighbours; see [`knn_accuracy`].
    pub knn_top1: f64,
    /// Images whose features vote.
    pub train_images: usize,
    /// Images measured.
    pub test_images: usize,
    /// Patch norms of the last block on the test images.
    pub last_block_norms: Option<NormSummary>,
}

/// Measures a model as it is: its head, nearest neighbours, and patch norms.
///
/// ```
/// use singer::probe::{EvalSettings, evaluate};
/// use singer::{Device, ImageSet, Model};
///
/// let model = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let (train, test) = (ImageSet::open("scenes:16")?, ImageSet::open("scenes:16-24")?);
/// let found = evaluate(&model, &train, &test, &EvalSettings::of(&model))?;
/// assert_eq!((found.train_images, found.test_images), (16, 8));
/// assert!((0.0..=1.0).contains(&found.knn_top1));
/// # Ok::<(), singer::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoLabels`]; [`Error::UnknownClass`] for a test image of a class that no training
/// image has; errors of the data and of the device.
pub fn evaluate(
    model: &Model,
    train: &ImageSet,
    test: &ImageSet,
    settings: &EvalSettings,
) -> Result<Evaluation> {
    if !train.has_labels() || !test.has_labels() {
        return Err(Error::NoLabels);
    }
    let test = &in_classes(test, train.classes())?;
    let (vit, device) = (model.vit(), model.vit().device());
    let side = model.config().img_size.into_iter().max().unwrap_or_default();
    let (train, test) = (train.clone().with_scene_side(side), test.clone().with_scene_side(side));
    let (bank, _) = class_features(vit, &train, settings, &device)?;
    let (queries, last_block_norms) = class_features(vit, &test, settings, &device)?;
    let knn_top1 = knn_accuracy(&bank, &queries, &device)?;
    let has_head = model.config().num_classes == test.classes().len();
    let head_top1 = has_head.then(|| accuracy(vit, &test, settings, &device)).transpose()?;
    Ok(Evaluation {
        head_top1,
        knn_top1,
        train_images: bank.labels.len(),
        test_images: queries.labels.len(),
        last_block_norms,
    })
}
