//! Measuring models: accuracy of the head, nearest neighbours on frozen
//! features, and patch norms.

mod knn;
mod measure;

pub use knn::knn_accuracy;
pub use measure::{Features, accuracy, class_features, last_block_norms};

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::{EvalTransform, ImageSet, Loader, LoaderSettings, Normalise, Order, Transform};
use crate::error::Result;

/// How images reach a model that is measured.
#[derive(Debug, Clone, Copy)]
pub struct EvalSettings {
    /// Size and crop.
    pub transform: EvalTransform,
    /// Mean and deviation.
    pub normalise: Normalise,
    /// Images in a batch.
    pub batch: usize,
    /// Decoding threads.
    pub workers: usize,
    /// Most images to take, evenly spread over the set; none for all.
    pub limit: Option<usize>,
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
        max_unreadable: 0.01,
    };
    let images = match settings.limit {
        Some(limit) => images.sample(limit),
        None => images.clone(),
    };
    let [height, width] = settings.transform.size;
    let device = device.clone();
    let transform = Transform::Eval(settings.transform);
    let loader = Loader::start(images, transform, settings.normalise, loader, 0)?;
    Ok(loader.map(move |batch| {
        let batch = batch?;
        let data = TensorData::new(batch.pixels, [batch.labels.len(), 3, height, width]);
        Ok((Tensor::from_data(data, &device), batch.labels))
    }))
}
