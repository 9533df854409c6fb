use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::Serialize;

use super::metrics::TopK;
use super::{
    FeatureRows, FitProgress, FitSettings, Gradients, HeadTask, LinearHead, cross_entropy, fit,
};
use crate::error::{Error, Result};

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

/// How often a head is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// Share of images whose class comes first.
    pub top1: f64,
    /// Share of images whose class is among the first five.
    pub top5: f64,
    /// Images.
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
) -> Result<Standing> {
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
    Ok(Standing { top1: counts.top1(), top5: counts.top5(), images: counts.total() })
}

/// For each class of another set, the head's class: the one of the same name,
/// or, where every name is a number below the head's classes (ImageNet-V2), the
/// one with that number in order.
///
/// # Errors
/// [`Error::Config`] naming a class that the head does not know.
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

fn unknown(name: Option<&String>, head: &[String]) -> Error {
    Error::config(format!(
        "the class `{}` is not one of the {} that the head learns ({}, …)",
        name.map_or("", String::as_str),
        head.len(),
        head.first().map_or("", String::as_str)
    ))
}

/// Tries several learning rates on nine tenths of the images and gives the one
/// whose head is right most often on the last tenth (the lower of equals), with the top-1 of each.
///
/// # Errors
/// Those of [`fit`]; a rate at which the loss stops being a number only loses.
pub fn sweep(
    rows: &dyn FeatureRows,
    task: &ClassTask,
    settings: &FitSettings,
    rates: &[f64],
    device: &Device,
    report: &mut dyn FnMut(FitProgress),
) -> Result<(f64, Vec<(f64, f64)>)> {
    let (held, kept): (Vec<usize>, Vec<usize>) =
        (0..rows.len()).partition(|index| index % HELD_OUT == HELD_OUT - 1);
    if held.is_empty() {
        return Err(Error::config(format!(
            "{} images are too few to choose a learning rate by; give one rate",
            rows.len()
        )));
    }
    let mut found: Vec<(f64, f64)> = Vec::new();
    for &rate in rates {
        let mut tried = settings.clone();
        tried.optimizer.set_lr(rate);
        tried.check()?;
        let top1 = match fit(rows, &kept, task, &tried, device, report) {
            Ok(head) => score_classes(&head, rows, &task.labels, &held, None)?.top1,
            Err(Error::Config(_)) => 0.0,
            Err(other) => return Err(other),
        };
        found.push((rate, top1));
    }
    let best = found.iter().copied().reduce(|best, next| {
        let better = next.1 > best.1 || (next.1 == best.1 && next.0 < best.0);
        if better { next } else { best }
    });
    Ok((best.map_or(settings.optimizer.lr(), |(rate, _)| rate), found))
}
