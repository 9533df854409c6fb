use image::RgbImage;
use rayon::prelude::*;

use super::dense::{DenseFeatures, batch_mean, spread};
use super::metrics::{Confusion, SegmentationScores};
use super::pixels::fine;
use super::{
    DenseSettings, FeatureRows, Gradients, HeadTask, LinearHead, LossAt, PatchRows, ProbeEvent,
    ProbeTimes, Resample, fit_head, pixel_loss,
};
use crate::data::{LabelMap, PassedOver, SegmentationSet, VOID};
use crate::error::{Error, Result};
use crate::model::Model;

/// Images scored at a time.
const BATCH: usize = 16;

/// A class for each pixel, by cross-entropy over those that are not void.
pub struct SegmentTask<'a> {
    /// The label maps.
    pub set: &'a dyn SegmentationSet,
    /// The image in the set of each image that has features.
    pub places: &'a [usize],
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Where outputs and labels meet.
    pub at: LossAt,
}

impl HeadTask for SegmentTask<'_> {
    fn outputs(&self) -> usize {
        self.set.classes().len()
    }

    fn gradients(&self, indices: &[usize], outputs: Vec<f32>) -> Result<Option<Gradients>> {
        let image_loss = |(&index, logits): (&usize, &[f32])| {
            let LabelMap { size, labels } = self.set.truth(self.places[index])?;
            let targets: Vec<Option<u16>> =
                labels.into_iter().map(|label| (label != VOID).then_some(label)).collect();
            Ok(pixel_loss(logits, self.grid, &targets, size, self.at))
        };
        batch_mean(indices, &outputs, image_loss)
    }
}

/// The best class of each pixel at `size` (the first of equals): `logits`
/// `[h, w, C]` are upsampled bilinearly to four times the grid and on to `size`.
pub fn predict_labels(logits: &[f32], grid: [usize; 2], size: [usize; 2]) -> Vec<u16> {
    let classes = logits.len() / (grid[0] * grid[1]);
    let resample = Resample::through(&[grid, fine(grid), size]);
    let (mut line, mut between) = (vec![0.0; size[1] * classes], Vec::new());
    let mut labels = Vec::with_capacity(size[0] * size[1]);
    for row in 0..size[0] {
        resample.row(logits, classes, row, &mut between, &mut line);
        labels.extend(line.chunks_exact(classes).map(best));
    }
    labels
}

fn best(scores: &[f32]) -> u16 {
    let start = (0, f32::NEG_INFINITY);
    let best = scores
        .iter()
        .enumerate()
        .fold(start, |best, (class, &score)| if score > best.1 { (class, score) } else { best });
    best.0 as u16
}

/// Scores a head on all images of a task.
///
/// # Errors
/// Those of reading the labels, and [`Error::Gpu`](crate::Error::Gpu).
pub fn score_segments(
    head: &LinearHead,
    rows: &dyn FeatureRows,
    task: &SegmentTask<'_>,
    report: &mut dyn FnMut(usize),
) -> Result<SegmentationScores> {
    let mut confusion = Confusion::new(task.outputs());
    let all: Vec<usize> = (0..rows.len()).collect();
    for batch in all.chunks(BATCH) {
        let outputs = head.outputs_of(rows.gather(batch))?;
        let each = outputs.len() / batch.len();
        let part = |(&index, logits): (&usize, &[f32])| {
            let truth = task.set.truth(task.places[index])?;
            let mut part = Confusion::new(task.outputs());
            part.add(&truth.labels, &predict_labels(logits, task.grid, truth.size));
            Ok(part)
        };
        let parts: Vec<Result<Confusion>> =
            batch.par_iter().zip(outputs.par_chunks_exact(each)).map(part).collect();
        for part in parts {
            confusion.merge(&part?);
        }
        report(batch.last().map_or(0, |last| last + 1));
    }
    Ok(confusion.scores())
}

/// A probe of segments: a 1x1 convolution on the patch tokens of a frozen model, upsampled to
/// the labels.
///
/// ```
/// use singer::data::{SegmentSet, Split};
/// use singer::probe::Segmentation;
/// use singer::{Device, Model};
///
/// let model = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let train = SegmentSet::open("scenes:8", Split::Train)?.with_scene_side(32);
/// let test = SegmentSet::open("scenes:8-12", Split::Test)?.with_scene_side(32);
/// let mut probe = Segmentation::default();
/// probe.dense.fit.epochs = 2;
/// let found = probe.run(&model, &train, &test, |_progress| {})?;
/// println!("mIoU {:.3}", found.scores.miou);
/// assert_eq!(found.scores.pixels, 4 * 32 * 32);
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segmentation {
    /// Its settings.
    pub dense: DenseSettings,
}

impl Default for Segmentation {
    /// The loss at the labels' own size.
    fn default() -> Self {
        Self { dense: DenseSettings::new(LossAt::Label) }
    }
}

/// A finished probe of segments.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SegmentationOutcome {
    /// The fitted head.
    pub head: LinearHead,
    /// Its scores on the test images.
    pub scores: SegmentationScores,
    /// Test images with truth and prediction.
    pub samples: Vec<SegmentedImage>,
    /// Height and width of what the model saw, in pixels.
    pub size: [usize; 2],
    /// Images that the head learnt from.
    pub train_images: usize,
    /// Images that it was measured on.
    pub test_images: usize,
    /// The images of both sets that could not be read.
    pub passed_over: Vec<PassedOver>,
    /// How long it took.
    pub times: ProbeTimes,
}

/// A segmented image.
#[derive(Debug, Clone)]
pub struct SegmentedImage {
    /// What to call it: its file, where it has one.
    pub name: String,
    /// The image.
    pub input: RgbImage,
    /// Height and width of the labels.
    pub size: [usize; 2],
    /// Row-major labels; [`VOID`] does not count.
    pub truth: Vec<u16>,
    /// Row-major labels.
    pub prediction: Vec<u16>,
    /// Share of the pixels that count whose label is right, 0 to 1.
    pub accuracy: f64,
}

impl Segmentation {
    /// Fits a head to `train` and scores it on `test`, which must have the same classes.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Incompatible`] for sets of other classes,
    /// [`Error::NoTruth`], [`Error::Diverged`]; errors of
    /// [`features`](super::features::features), of the labels and of the device.
    pub fn run(
        &self,
        model: &Model,
        train: &dyn SegmentationSet,
        test: &dyn SegmentationSet,
        mut report: impl FnMut(ProbeEvent),
    ) -> Result<SegmentationOutcome> {
        if train.classes() != test.classes() {
            return Err(Error::incompatible(
                "the two sets have other classes; measure on the set that the head learnt from",
            ));
        }
        let DenseSettings { fit, loss_at: at, samples, .. } = &self.dense;
        let features = self.dense.features(model, [train, test], &mut report)?;
        let DenseFeatures { ref train_places, ref test_places, grid, size, .. } = features;
        let (mut times, mut watch, at) = (features.times, features.watch, *at);

        let task = SegmentTask { set: train, places: train_places, grid, at };
        let rows = PatchRows { store: &features.train, with_class: false };
        let all: Vec<usize> = (0..rows.len()).collect();
        let mut progress = |progress| report(ProbeEvent::Fit(progress));
        let head = fit_head(&rows, &all, &task, fit, &model.vit().device(), &mut progress)?;
        times.fit_seconds = watch.lap();

        let task = SegmentTask { set: test, places: test_places, grid, at };
        let rows = PatchRows { store: &features.test, with_class: false };
        let total = rows.len();
        let mut progress = |done| report(ProbeEvent::Score { done, total });
        let scores = score_segments(&head, &rows, &task, &mut progress)?;
        times.score_seconds = watch.lap();
        let samples = spread(*samples, total)
            .into_iter()
            .map(|index| sample(&head, &rows, &task, index))
            .collect::<Result<_>>()?;
        let (train_images, test_images) = (train_places.len(), test_places.len());
        Ok(SegmentationOutcome {
            head,
            scores,
            samples,
            size,
            train_images,
            test_images,
            passed_over: features.passed_over,
            times,
        })
    }
}

fn sample(
    head: &LinearHead,
    rows: &PatchRows<'_>,
    task: &SegmentTask<'_>,
    index: usize,
) -> Result<SegmentedImage> {
    let (images, place) = (task.set.images(), task.places[index]);
    let truth = task.set.truth(place)?;
    let logits = head.outputs_of(rows.gather(&[index]))?;
    let prediction = predict_labels(&logits, task.grid, truth.size);
    let mut confusion = Confusion::new(task.outputs());
    confusion.add(&truth.labels, &prediction);
    Ok(SegmentedImage {
        name: images.name(place),
        input: images.read(place)?,
        size: truth.size,
        accuracy: confusion.scores().pixel_accuracy,
        truth: truth.labels,
        prediction,
    })
}
