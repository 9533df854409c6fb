use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::cross_entropy::exponentials;
use super::dense::{DenseFeatures, batch_mean, spread};
use super::metrics::{DepthErrors, DepthScores};
use super::pixels::fine;
use super::{
    DenseSettings, FeatureRows, Gradients, HeadTask, LinearHead, LossAt, PatchRows, ProbeEvent,
    ProbeTimes, Resample, fit_head, pixel_loss,
};
use crate::data::{DenseSet, DepthMap, PassedOver};
use crate::error::{Error, Result};
use crate::model::Model;

/// Images scored at a time.
const BATCH: usize = 16;

/// Depth as classes: bins of equal width from 0 to a largest depth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthBins {
    /// Number of bins.
    pub count: usize,
    /// Depths from here on do not count, in metres.
    pub max_depth: f32,
    /// Divides the logits before the softmax whose expectation is the prediction.
    pub temperature: f32,
}

impl Default for DepthBins {
    /// 256 bins to 10 m, temperature 0.03.
    fn default() -> Self {
        Self { count: 256, max_depth: 10.0, temperature: 0.03 }
    }
}

impl DepthBins {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        if !(2..=usize::from(u16::MAX)).contains(&self.count) {
            let expected = format!("it must lie between 2 and {}", u16::MAX);
            return Err(Error::setting("bins.count", self.count, expected));
        }
        let positive = [("bins.max_depth", self.max_depth), ("bins.temperature", self.temperature)];
        match positive.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((setting, value)) => Err(Error::setting(setting, value, "it must be above 0")),
            None => Ok(()),
        }
    }

    /// The bin of a depth; none for one that does not count.
    pub fn bin(&self, depth: f32) -> Option<u16> {
        let bin = || ((depth / self.max_depth * self.count as f32) as usize).min(self.count - 1);
        super::metrics::is_known(depth, self.max_depth).then(|| bin() as u16)
    }

    /// The expectation over the bins' middles under `softmax(logits / temperature)`.
    /// `logits` are overwritten.
    pub fn expectation(&self, logits: &mut [f32]) -> f32 {
        let (_, total) = exponentials(logits, 1.0 / self.temperature);
        let width = self.max_depth / self.count as f32;
        let middles = logits.iter().zip(0..).map(|(share, bin)| share * (bin as f32 + 0.5));
        middles.sum::<f32>() / total * width
    }
}

/// A depth for each pixel, by cross-entropy of its bin.
pub struct DepthTask<'a> {
    /// The depth maps.
    pub set: &'a dyn DenseSet<Truth = DepthMap>,
    /// The image in the set of each image that has features.
    pub places: &'a [usize],
    /// Patches along height and width.
    pub grid: [usize; 2],
    /// Where outputs and depths meet.
    pub at: LossAt,
    /// Depth as classes.
    pub bins: DepthBins,
}

impl HeadTask for DepthTask<'_> {
    fn outputs(&self) -> usize {
        self.bins.count
    }

    fn gradients(&self, indices: &[usize], outputs: Vec<f32>) -> Result<Option<Gradients>> {
        let image_loss = |(&index, logits): (&usize, &[f32])| {
            let DepthMap { size, metres } = self.set.truth(self.places[index])?;
            let targets: Vec<Option<u16>> =
                metres.into_iter().map(|depth| self.bins.bin(depth)).collect();
            Ok(pixel_loss(logits, self.grid, &targets, size, self.at))
        };
        batch_mean(indices, &outputs, image_loss)
    }
}

/// The depths at `size`, in metres: `logits` `[h, w, bins]` are upsampled
/// bilinearly to four times the grid and become depths there, which are upsampled
/// bilinearly to `size`.
pub fn predict_depth(
    logits: &[f32],
    grid: [usize; 2],
    size: [usize; 2],
    bins: &DepthBins,
) -> Vec<f32> {
    let fine = fine(grid);
    let resample = Resample::through(&[grid, fine]);
    let (mut line, mut between) = (vec![0.0; fine[1] * bins.count], Vec::new());
    let mut depths = Vec::with_capacity(fine[0] * fine[1]);
    for row in 0..fine[0] {
        resample.row(logits, bins.count, row, &mut between, &mut line);
        depths.extend(line.chunks_exact_mut(bins.count).map(|pixel| bins.expectation(pixel)));
    }
    Resample::through(&[fine, size]).apply(&depths, 1)
}

/// The errors of depths over a whole set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthSetScores {
    /// Over all pixels of known depth.
    pub pixels: DepthScores,
    /// Means over images of each image's own errors.
    pub images: DepthScores,
}

/// Scores a head on all images of a task.
///
/// # Errors
/// Those of reading the depths, [`Error::NoTruth`] where no depth is known, and
/// [`Error::Gpu`].
pub fn score_depth(
    head: &LinearHead,
    rows: &dyn FeatureRows,
    task: &DepthTask<'_>,
    report: &mut dyn FnMut(usize),
) -> Result<DepthSetScores> {
    let mut all_pixels = DepthErrors::default();
    let mut by_image: Vec<DepthScores> = Vec::new();
    let all: Vec<usize> = (0..rows.len()).collect();
    for batch in all.chunks(BATCH) {
        let outputs = head.outputs_of(rows.gather(batch))?;
        let each = outputs.len() / batch.len();
        let part = |(&index, logits): (&usize, &[f32])| {
            let truth = task.set.truth(task.places[index])?;
            let depths = predict_depth(logits, task.grid, truth.size, &task.bins);
            let mut part = DepthErrors::default();
            part.add(&truth.metres, &depths, task.bins.max_depth);
            Ok(part)
        };
        let parts: Vec<Result<DepthErrors>> =
            batch.par_iter().zip(outputs.par_chunks_exact(each)).map(part).collect();
        for part in parts {
            let part = part?;
            by_image.extend(part.scores());
            all_pixels.merge(&part);
        }
        report(batch.last().map_or(0, |last| last + 1));
    }
    let pixels = all_pixels.scores().ok_or_else(|| Error::NoTruth {
        images: "test",
        reason: format!(
            "no depth lies between 0 and {} m; is the unit right?",
            task.bins.max_depth
        ),
    })?;
    let mean = |value: &dyn Fn(&DepthScores) -> f64| {
        by_image.iter().map(value).sum::<f64>() / by_image.len() as f64
    };
    let images = DepthScores {
        rmse: mean(&|scores| scores.rmse),
        mae: mean(&|scores| scores.mae),
        rel: mean(&|scores| scores.rel),
        delta: [0, 1, 2].map(|power| mean(&|scores| scores.delta[power])),
        pixels: pixels.pixels,
    };
    Ok(DepthSetScores { pixels, images })
}

/// A probe of depth: a 1x1 convolution on patch and class token of a frozen model, upsampled
/// four times, whose outputs are bins of depth.
///
/// ```
/// use singer::data::{DepthSet, Split};
/// use singer::probe::DepthEstimation;
/// use singer::{Device, Model};
///
/// let model = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let train = DepthSet::open("scenes:8", Split::Train)?.with_scene_side(32);
/// let test = DepthSet::open("scenes:8-12", Split::Test)?.with_scene_side(32);
/// let mut probe = DepthEstimation::default();
/// probe.dense.fit.epochs = 2;
/// let found = probe.run(&model, &train, &test, |_progress| {})?;
/// println!("RMSE {:.2} m", found.scores.pixels.rmse);
/// assert_eq!((found.train_images, found.test_images), (8, 4));
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DepthEstimation {
    /// The settings of a probe of pixels.
    pub dense: DenseSettings,
    /// Depth as classes.
    pub bins: DepthBins,
}

impl Default for DepthEstimation {
    /// The loss at four times the patch grid; 256 bins to 10 m.
    fn default() -> Self {
        Self { dense: DenseSettings::new(LossAt::Grid), bins: DepthBins::default() }
    }
}

/// A finished probe of depth.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DepthOutcome {
    /// The fitted head.
    pub head: LinearHead,
    /// Its errors on the test images.
    pub scores: DepthSetScores,
    /// Test images with truth and prediction.
    pub samples: Vec<DepthImage>,
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

/// An image with depths; NaN where the truth is not known.
#[derive(Debug, Clone)]
pub struct DepthImage {
    /// What to call it: its file, where it has one.
    pub name: String,
    /// The image.
    pub input: RgbImage,
    /// Height and width of the depths.
    pub size: [usize; 2],
    /// Row-major, in metres.
    pub truth: Vec<f32>,
    /// Row-major, in metres.
    pub prediction: Vec<f32>,
    /// Over the pixels of known depth, in metres; none where there are none.
    pub rmse: Option<f64>,
}

impl DepthEstimation {
    /// Fits a head to `train` and measures its errors on `test`.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NoTruth`], [`Error::Diverged`]; errors of
    /// [`features`](super::features::features), of the depths and of the device.
    pub fn run(
        &self,
        model: &Model,
        train: &dyn DenseSet<Truth = DepthMap>,
        test: &dyn DenseSet<Truth = DepthMap>,
        mut report: impl FnMut(ProbeEvent),
    ) -> Result<DepthOutcome> {
        let Self { dense: DenseSettings { fit, loss_at: at, samples, .. }, bins } = self;
        bins.check()?;
        let features = self.dense.features(model, [train, test], &mut report)?;
        let DenseFeatures { ref train_places, ref test_places, grid, size, .. } = features;
        let (mut times, mut watch, at, bins) = (features.times, features.watch, *at, *bins);

        let task = DepthTask { set: train, places: train_places, grid, at, bins };
        let rows = PatchRows { store: &features.train, with_class: true };
        let all: Vec<usize> = (0..rows.len()).collect();
        let mut progress = |progress| report(ProbeEvent::Fit(progress));
        let head = fit_head(&rows, &all, &task, fit, &model.vit().device(), &mut progress)?;
        times.fit_seconds = watch.lap();

        let task = DepthTask { set: test, places: test_places, grid, at, bins };
        let rows = PatchRows { store: &features.test, with_class: true };
        let total = rows.len();
        let mut progress = |done| report(ProbeEvent::Score { done, total });
        let scores = score_depth(&head, &rows, &task, &mut progress)?;
        times.score_seconds = watch.lap();
        let samples = spread(*samples, total)
            .into_iter()
            .map(|index| sample(&head, &rows, &task, index))
            .collect::<Result<_>>()?;
        let (train_images, test_images) = (train_places.len(), test_places.len());
        Ok(DepthOutcome {
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
    task: &DepthTask<'_>,
    index: usize,
) -> Result<DepthImage> {
    let (images, place) = (task.set.images(), task.places[index]);
    let truth = task.set.truth(place)?;
    let logits = head.outputs_of(rows.gather(&[index]))?;
    let prediction = predict_depth(&logits, task.grid, truth.size, &task.bins);
    let mut errors = DepthErrors::default();
    errors.add(&truth.metres, &prediction, task.bins.max_depth);
    let known = |depth: f32| if task.bins.bin(depth).is_some() { depth } else { f32::NAN };
    Ok(DepthImage {
        name: images.name(place),
        input: images.read(place)?,
        size: truth.size,
        rmse: errors.scores().map(|scores| scores.rmse),
        truth: truth.metres.into_iter().map(known).collect(),
        prediction,
    })
}
