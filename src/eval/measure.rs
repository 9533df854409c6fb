use burn::tensor::Device;

use super::{EvalSettings, batches};
use crate::data::ImageSet;
use crate::error::Result;
use crate::readback::read;
use crate::tokens::{NormStats, NormSummary, patch_norms};
use crate::vit::Vit;

/// Share of images whose class the head puts first, 0 to 1.
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

/// Frozen features with their labels.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Unit-length class tokens of the last block (of a model without one, its
    /// pooled output), row-major `[N, D]`.
    pub rows: Vec<f32>,
    /// D.
    pub dim: usize,
    /// Class of each row.
    pub labels: Vec<usize>,
    /// Patch norms of the last block.
    pub norms: Option<NormSummary>,
}

/// The class token after the last block (no final norm), or the pooled output of
/// a model without class token, scaled to unit length.
///
/// # Errors
/// Errors of the data and of the device.
pub fn class_features(
    model: &Vit,
    images: &ImageSet,
    settings: &EvalSettings,
    device: &Device,
) -> Result<Features> {
    let mut features = Features { dim: model.embed_dim(), ..Features::default() };
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
    features.norms = stats.summary();
    Ok(features)
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
