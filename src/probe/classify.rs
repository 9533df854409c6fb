use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::Serialize;

use super::extraction::{Extractor, Stopwatch};
use super::features::View;
use super::metrics::TopK;
use super::{
    ExtractionSettings, FeatureRows, FeatureStore, Gradients, HeadFitProgress, HeadFitSettings,
    HeadTask, LabelledFeatures, LinearHead, ProbeEvent, ProbeTimes, ProbedSet, Token, TokenRows,
    cross_entropy, fit_head, knn_accuracy,
};
use crate::data::{ClassifySet, ImageSet, PassedOver};
use crate::error::{Error, Result};
use crate::model::Model;

/// Images scored at a time.
const BATCH: usize = 512;

/// Of this many images, one is held out to choose the learning rate by.
const HELD_OUT: usize = 10;

/// One class for each image, by cross-entropy.
#[derive(Debug, Clone)]
pub struct ClassTask {
    /// Number of classes.
    pub classes: usize,
    /// The class of each image.
    pub labels: Vec<usize>,
}

impl HeadTask for ClassTask {
    fn outputs(&self) -> usize {
        self.classes
    }

    fn gradients(&self, indices: &[usize], mut outputs: Vec<f32>) -> Result<Option<Gradients>> {
        let targets = indices.iter().map(|&index| Some(self.labels[index]));
        let (sum, count) = cross_entropy(&mut outputs, self.classes, targets);
        let share = 1.0 / count.max(1) as f32;
        outputs.iter_mut().for_each(|value| *value *= share);
        Ok((count > 0).then_some(Gradients { loss: sum / count as f64, outputs }))
    }
}

/// Accuracies of a head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassScores {
    /// Top-1 accuracy, 0 to 1.
    pub top1: f64,
    /// Top-5 accuracy, 0 to 1.
    pub top5: f64,
    /// Images scored.
    pub images: usize,
}

/// Scores a head on the images `indices`. With `among`, only the outputs of
/// these classes, ascending, are compared, as for ImageNet-R's 200 of 1000 classes.
///
/// # Errors
/// [`Error::Gpu`].
///
/// # Panics
/// Where the class of an image is not among those compared.
pub fn score_classes(
    head: &LinearHead,
    rows: &dyn FeatureRows,
    labels: &[usize],
    indices: &[usize],
    among: Option<&[usize]>,
) -> Result<ClassScores> {
    let mut counts = TopK::default();
    for batch in indices.chunks(BATCH) {
        let outputs = head.outputs_of(rows.gather(batch))?;
        for (scores, &index) in outputs.chunks_exact(head.outputs()).zip(batch) {
            match among {
                None => counts.add(scores, labels[index]),
                Some(among) => {
                    let some: Vec<f32> = among.iter().map(|&class| scores[class]).collect();
                    counts.add(&some, among.partition_point(|&class| class < labels[index]));
                }
            }
        }
    }
    Ok(ClassScores { top1: counts.top1(), top5: counts.top5(), images: counts.total() })
}

/// For each class of another set, the head's class: the one of the same name,
/// or, where every name is a number below the head's classes (ImageNet-V2), the
/// one with that number in order.
///
/// # Errors
/// [`Error::UnknownClass`].
pub fn class_map(head: &[String], other: &[String]) -> Result<Vec<usize>> {
    let known: BTreeMap<&str, usize> =
        head.iter().enumerate().map(|(class, name)| (name.as_str(), class)).collect();
    let by_name = |name: &String| known.get(name.as_str()).copied();
    let by_number = |name: &String| name.parse().ok().filter(|&number: &usize| number < head.len());
    if let Some(map) = other.iter().map(by_name).collect() {
        return Ok(map);
    }
    if other.iter().any(|name| by_name(name).is_some()) {
        let strange = other.iter().find(|name| by_name(name).is_none());
        return Err(unknown(strange, head));
    }
    match other.iter().map(by_number).collect() {
        Some(map) => Ok(map),
        None => Err(unknown(other.iter().find(|name| by_number(name).is_none()), head)),
    }
}

/// A set with the classes of the one that was learnt from, by their names; images without
/// labels stay as they are.
///
/// # Errors
/// As [`class_map`].
pub(crate) fn in_classes(set: &ImageSet, classes: &[String]) -> Result<ImageSet> {
    if !set.has_labels() || classes.is_empty() || set.classes() == classes {
        return Ok(set.clone());
    }
    Ok(set.relabelled(classes, class_map(classes, set.classes())?))
}

fn unknown(name: Option<&String>, head: &[String]) -> Error {
    Error::UnknownClass {
        class: name.cloned().unwrap_or_default(),
        known: head.len(),
        first: head.first().cloned().unwrap_or_default(),
    }
}

/// What one learning rate of a [`sweep`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The learning rate of the first step.
    pub lr: f64,
    /// Top-1 accuracy on the images held out, 0 to 1.
    pub held_out_top1: f64,
}

/// Tries several learning rates on nine tenths of the images. Gives the one whose head has
/// the best top-1 accuracy on the last tenth (the lower of equals), and what each came to.
///
/// # Errors
/// [`Error::Setting`] where there are too few images to hold some out, and those of
/// [`fit_head`]; a rate at which the loss stops being a number only loses.
pub fn sweep(
    rows: &dyn FeatureRows,
    task: &ClassTask,
    settings: &HeadFitSettings,
    rates: &[f64],
    device: &Device,
    report: &mut dyn FnMut(HeadFitProgress),
) -> Result<(f64, Vec<SweepPoint>)> {
    let (held, kept): (Vec<usize>, Vec<usize>) =
        (0..rows.len()).partition(|index| index % HELD_OUT == HELD_OUT - 1);
    if held.is_empty() {
        let expected = format!("{} images are too few to choose by; give one rate", rows.len());
        return Err(Error::setting("rates", format!("{rates:?}"), expected));
    }
    let mut found: Vec<SweepPoint> = Vec::new();
    for &lr in rates {
        let mut tried = settings.clone();
        tried.optimizer.set_lr(lr);
        tried.check()?;
        let held_out_top1 = match fit_head(rows, &kept, task, &tried, device, report) {
            Ok(head) => score_classes(&head, rows, &task.labels, &held, None)?.top1,
            Err(Error::Diverged { .. }) => 0.0,
            Err(other) => return Err(other),
        };
        found.push(SweepPoint { lr, held_out_top1 });
    }
    let best = found.iter().copied().reduce(|best, next| {
        let better = next.held_out_top1 > best.held_out_top1
            || (next.held_out_top1 == best.held_out_top1 && next.lr < best.lr);
        if better { next } else { best }
    });
    Ok((best.map_or(settings.optimizer.lr(), |point| point.lr), found))
}

/// A probe of classes: a linear head on the class token or the mean patch of a frozen model,
/// and its nearest neighbours.
///
/// ```
/// use singer::data::{ClassifySet, Split};
/// use singer::probe::Classification;
/// use singer::{Device, Model};
///
/// let model = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let train = ClassifySet::open("scenes:32", Split::Train)?;
/// let test = ClassifySet::open("scenes:32-48", Split::Test)?;
/// let mut probe = Classification::default();
/// probe.fit.epochs = 2;
/// let found = probe.run(&model, &train, Some(&test), &[], |_progress| {})?;
/// let scores = found.scores.test.unwrap();
/// println!("top-1 {:.3}, 20-NN {:.3}", scores.top1, scores.knn_top1.unwrap());
/// assert_eq!((scores.images, found.classes.len()), (16, 8));
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Classification {
    /// How features are computed and kept.
    pub extraction: ExtractionSettings,
    /// How the head is fitted.
    pub fit: HeadFitSettings,
    /// The features that stand for an image.
    pub token: Token,
    /// Learning rates to choose from by [`sweep`]; none for `fit`'s own.
    pub rates: Vec<f64>,
    /// Whether the nearest neighbours of the test images are asked, too.
    pub neighbours: bool,
    /// The most images to take of each set, evenly spread; none for all.
    pub limit: Option<usize>,
}

impl Default for Classification {
    /// The class token, no choice of rates, neighbours, all images.
    fn default() -> Self {
        Self {
            extraction: ExtractionSettings::default(),
            fit: HeadFitSettings::default(),
            token: Token::default(),
            rates: Vec::new(),
            neighbours: true,
            limit: None,
        }
    }
}

/// The scores of one set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SetScores {
    /// Top-1 accuracy of the head, 0 to 1.
    pub top1: f64,
    /// Top-5 accuracy of the head, 0 to 1.
    pub top5: f64,
    /// Top-1 accuracy of the nearest neighbours among the training images, where asked for;
    /// see [`knn_accuracy`].
    pub knn_top1: Option<f64>,
    /// Images scored.
    pub images: usize,
    /// Classes compared.
    pub classes: usize,
}

/// The scores of a probe of classes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassificationScores {
    /// Of the test set.
    pub test: Option<SetScores>,
    /// Of the sets with some of the classes; only these are compared.
    pub subsets: Vec<SetScores>,
    /// What each learning rate came to; empty where there was no choice.
    pub sweep: Vec<SweepPoint>,
}

/// A finished probe of classes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClassificationOutcome {
    /// The fitted head.
    pub head: LinearHead,
    /// How it was fitted, with the learning rate that was chosen.
    pub fit: HeadFitSettings,
    /// Its scores.
    pub scores: ClassificationScores,
    /// Names of the classes, in the order of the head's outputs.
    pub classes: Vec<String>,
    /// Images that it learnt from.
    pub train_images: usize,
    /// The images of all sets that could not be read.
    pub passed_over: Vec<PassedOver>,
    /// How long it took.
    pub times: ProbeTimes,
}

/// Images with the head's class of each.
struct Labelled {
    images: ImageSet,
    labels: Vec<usize>,
    /// The head's classes that the set has, ascending.
    among: Vec<usize>,
}

impl Labelled {
    /// Keeps the labels of the images that have features.
    fn keep(&mut self, store: &FeatureStore) {
        self.labels = store.readable().map(|index| self.labels[index]).collect();
    }
}

impl Classification {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        if self.limit == Some(0) {
            return Err(Error::setting("limit", 0, "it must be at least 1"));
        }
        for &rate in &self.rates {
            let mut fit = self.fit.clone();
            fit.optimizer.set_lr(rate);
            fit.check()?;
        }
        self.fit.check()
    }

    /// Fits a head to `train` and scores it on `test` and on `subsets`, sets with some of the
    /// same classes, such as ImageNet-R.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NoLabels`], [`Error::UnknownClass`] for a class that
    /// `train` does not have, [`Error::Diverged`]; errors of [`features`](super::features)
    /// and of the device.
    pub fn run(
        &self,
        model: &Model,
        train: &ClassifySet,
        test: Option<&ClassifySet>,
        subsets: &[ClassifySet],
        mut report: impl FnMut(ProbeEvent),
    ) -> Result<ClassificationOutcome> {
        self.check()?;
        let size = model.config().img_size;
        let classes = train.images().classes().to_vec();
        let mut train = self.labelled(train, &classes, size)?;
        let test = test.map(|set| (ProbedSet::Test, set));
        let subsets = (0..).map(ProbedSet::Subset).zip(subsets);
        let mut others = test
            .into_iter()
            .chain(subsets)
            .map(|(which, set)| Ok((which, self.labelled(set, &classes, size)?)))
            .collect::<Result<Vec<_>>>()?;

        let mut watch = Stopwatch::start();
        let extractor = Extractor::new(model, &self.extraction)?;
        let mut features = |which, set: &Labelled| {
            extractor.features(which, &set.images, (size, View::Crop), false, &mut report)
        };
        let train_store = features(ProbedSet::Train, &train)?;
        let stores = others
            .iter()
            .map(|(which, set)| features(*which, set))
            .collect::<Result<Vec<FeatureStore>>>()?;
        let mut times = ProbeTimes { features_seconds: watch.lap(), ..ProbeTimes::default() };
        train.keep(&train_store);
        for ((_, set), store) in others.iter_mut().zip(&stores) {
            set.keep(store);
        }
        let passed_over = [&train_store].into_iter().chain(&stores);
        let passed_over = passed_over.filter_map(FeatureStore::passed_over).cloned().collect();

        let rows = TokenRows { store: &train_store, token: self.token };
        let task = ClassTask { classes: classes.len(), labels: train.labels.clone() };
        let (device, mut fit) = (extractor.device(), self.fit.clone());
        let mut scores = ClassificationScores::default();
        let mut progress = |progress| report(ProbeEvent::Fit(progress));
        if let [rate] = self.rates[..] {
            fit.optimizer.set_lr(rate);
        } else if !self.rates.is_empty() {
            let (best, tried) = sweep(&rows, &task, &fit, &self.rates, device, &mut progress)?;
            fit.optimizer.set_lr(best);
            scores.sweep = tried;
            times.sweep_seconds = Some(watch.lap());
        }
        let all: Vec<usize> = (0..rows.len()).collect();
        let head = fit_head(&rows, &all, &task, &fit, device, &mut progress)?;
        times.fit_seconds = watch.lap();

        for ((which, set), store) in others.iter().zip(&stores) {
            let others = TokenRows { store, token: self.token };
            let is_test = *which == ProbedSet::Test;
            let among = (!is_test).then_some(set.among.as_slice());
            let all: Vec<usize> = (0..set.labels.len()).collect();
            let found = score_classes(&head, &others, &set.labels, &all, among)?;
            // Neighbours vote among all classes, so only the whole set is asked.
            let knn_top1 = (is_test && self.neighbours)
                .then(|| {
                    let bank = LabelledFeatures::from_rows(&rows, &train.labels);
                    let queries = LabelledFeatures::from_rows(&others, &set.labels);
                    knn_accuracy(&bank, &queries, device)
                })
                .transpose()?;
            let ClassScores { top1, top5, images } = found;
            let classes = among.map_or(head.outputs(), <[usize]>::len);
            let set = SetScores { top1, top5, knn_top1, images, classes };
            match is_test {
                true => scores.test = Some(set),
                false => scores.subsets.push(set),
            }
        }
        times.score_seconds = watch.lap();
        Ok(ClassificationOutcome {
            head,
            fit,
            scores,
            classes,
            train_images: train.labels.len(),
            passed_over,
            times,
        })
    }

    /// The images that are taken of a set, with their classes among `head`'s.
    fn labelled(&self, set: &ClassifySet, head: &[String], size: [usize; 2]) -> Result<Labelled> {
        let images = set.images().with_scene_side(size[0].max(size[1]));
        if !images.has_labels() {
            return Err(Error::NoLabels);
        }
        let map = class_map(head, images.classes())?;
        let images = self.limit.map_or(images.clone(), |limit| images.sample(limit));
        let labels =
            (0..images.len()).filter_map(|index| Some(map[images.label(index)?])).collect();
        let mut among = match set.subset() {
            Some(subset) => subset.iter().map(|&class| map[class]).collect(),
            None => map,
        };
        among.sort_unstable();
        among.dedup();
        Ok(Labelled { images, labels, among })
    }
}
