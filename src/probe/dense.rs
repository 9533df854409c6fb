//! What the probes of pixels share: settings, features of every patch, and the mean loss.

use rayon::prelude::*;

use super::extraction::{Extractor, Stopwatch};
use super::features::{View, patch_grid};
use super::{
    ExtractionSettings, FeatureStore, Gradients, HeadFitSettings, LossAt, ProbeEvent, ProbeTimes,
    ProbedSet,
};
use crate::data::{DenseSet, PassedOver};
use crate::error::{Error, Result};
use crate::model::Model;

/// Settings of a probe of pixels.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DenseSettings {
    /// How features are computed and kept.
    pub extraction: ExtractionSettings,
    /// How the head is fitted.
    pub fit: HeadFitSettings,
    /// Height and width of what the model sees, in pixels and in whole patches: the whole
    /// frame of every image is resized to it. The model's own where none.
    pub size: Option<[usize; 2]>,
    /// Where the head's outputs meet the truth in training.
    pub loss_at: LossAt,
    /// The most images to take of each set, evenly spread; none for all.
    pub limit: Option<usize>,
    /// How many test images come back with truth and prediction.
    pub samples: usize,
}

impl DenseSettings {
    pub(super) fn new(loss_at: LossAt) -> Self {
        Self {
            extraction: ExtractionSettings::default(),
            fit: HeadFitSettings::for_pixels(),
            size: None,
            loss_at,
            limit: None,
            samples: 0,
        }
    }

    /// Refuses settings that cannot work for a model, and gives the size that it will see,
    /// height and width in pixels.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self, model: &Model) -> Result<[usize; 2]> {
        self.fit.check()?;
        if self.limit == Some(0) {
            return Err(Error::setting("limit", 0, "it must be at least 1"));
        }
        let size = self.size.unwrap_or(model.config().img_size);
        patch_grid(size, model.config().patch_size)?;
        Ok(size)
    }

    /// The features of training and test images.
    pub(super) fn features<S: DenseSet + ?Sized>(
        &self,
        model: &Model,
        [train, test]: [&S; 2],
        report: &mut dyn FnMut(ProbeEvent),
    ) -> Result<DenseFeatures> {
        let size = self.check(model)?;
        let mut watch = Stopwatch::start();
        let extractor = Extractor::new(model, &self.extraction)?;
        let mut features = |which, set: &S| {
            let all = set.images();
            let images = self.limit.map_or(all.clone(), |limit| all.sample(limit));
            // As `sample` spreads them.
            let places = spread(images.len(), all.len());
            let store = extractor.features(which, &images, (size, View::Stretch), true, report)?;
            let places: Vec<usize> = store.readable().map(|index| places[index]).collect();
            Ok::<_, Error>((store, places))
        };
        let (train, train_places) = features(ProbedSet::Train, train)?;
        let (test, test_places) = features(ProbedSet::Test, test)?;
        let passed_over = [&train, &test].into_iter().filter_map(FeatureStore::passed_over);
        Ok(DenseFeatures {
            passed_over: passed_over.cloned().collect(),
            train,
            train_places,
            test,
            test_places,
            size,
            grid: patch_grid(size, model.config().patch_size)?,
            times: ProbeTimes { features_seconds: watch.lap(), ..ProbeTimes::default() },
            watch,
        })
    }
}

/// Features of the patches of both sets.
pub(super) struct DenseFeatures {
    pub(super) train: FeatureStore,
    /// The image in the set of each image that has features.
    pub(super) train_places: Vec<usize>,
    pub(super) test: FeatureStore,
    pub(super) test_places: Vec<usize>,
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    /// Patches along height and width.
    pub(super) grid: [usize; 2],
    /// The images of both sets that could not be read.
    pub(super) passed_over: Vec<PassedOver>,
    pub(super) times: ProbeTimes,
    pub(super) watch: Stopwatch,
}

/// Evenly spread indices of at most `count` of `total`.
pub(super) fn spread(count: usize, total: usize) -> Vec<usize> {
    let count = count.min(total);
    (0..count).map(|index| index * total / count).collect()
}

/// The mean over all pixels of a batch that count, from each image's sum, count
/// and gradient.
pub(super) fn batch_mean(
    indices: &[usize],
    outputs: &[f32],
    image_loss: impl Fn((&usize, &[f32])) -> Result<(f64, usize, Vec<f32>)> + Send + Sync,
) -> Result<Option<Gradients>> {
    let each = outputs.len() / indices.len();
    let images: Vec<Result<_>> =
        indices.par_iter().zip(outputs.par_chunks_exact(each)).map(image_loss).collect();
    let (mut loss, mut count) = (0.0, 0);
    let mut gradient = Vec::with_capacity(outputs.len());
    for image in images {
        let (sum, pixels, part) = image?;
        loss += sum;
        count += pixels;
        gradient.extend(part);
    }
    let share = 1.0 / count.max(1) as f32;
    gradient.iter_mut().for_each(|value| *value *= share);
    Ok((count > 0).then_some(Gradients { loss: loss / count as f64, outputs: gradient }))
}
