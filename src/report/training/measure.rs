use burn::tensor::Tensor;
use image::RgbImage;

use super::examples::{
    BlockNorms, Compared, Example, Examples, Moved, NormHistogram, NormMap, Subject,
};
use crate::error::{Error, Result};
use crate::readback::read;
use crate::tokens::{NormStats, patch_norms};
use crate::vit::Vit;

/// Images whose maps are kept.
const KEPT: usize = 4;
/// Of a histogram.
const BINS: usize = 40;

/// Runs the models image by image and keeps numbers, not tokens.
pub(super) struct Pass<'a> {
    compared: &'a Compared<'a>,
    images: Vec<Example>,
    /// The norms of every block, in order of subjects and blocks.
    blocks: Vec<(Subject, usize, NormStats)>,
    /// Sums of [`Moved::change`] over images.
    moved: Vec<Moved>,
}

/// The norms of a subject after some of its blocks, with the blocks.
type Norms = Vec<(usize, Vec<f32>)>;

impl<'a> Pass<'a> {
    pub(super) fn new(compared: &'a Compared<'a>) -> Self {
        let moved = compared.layers.iter().map(|&(layer, _)| Moved { layer, change: 0.0 });
        Self { compared, images: Vec::new(), blocks: Vec::new(), moved: moved.collect() }
    }

    /// Adds an image as the teacher takes it, not yet normalised.
    pub(super) fn look(&mut self, index: usize, image: &RgbImage) -> Result<()> {
        let Compared { teacher, student, .. } = self.compared;
        let device = teacher.vit().device();
        let images = [image.clone()];
        let batch = teacher.preprocess().normalise.batch(&images, &device)?;
        let vit = teacher.vit();
        let prefix = vit.prefix_tokens();
        let every = |vit: &Vit| (0..vit.depth()).collect::<Vec<_>>();
        let raw = vit.intermediate(batch.clone(), &every(vit));
        let refined = self.refined(&batch, &raw);
        for moved in &mut self.moved {
            if let Some((_, refined)) = refined.iter().find(|(layer, _)| *layer == moved.layer) {
                let raw = raw[moved.layer].clone();
                let change = patch_norms(refined.clone() - raw.clone(), prefix);
                moved.change += read((change / patch_norms(raw, prefix)).mean())?[0];
            }
        }
        let raw = norms(raw.into_iter().enumerate(), prefix)?;
        let refined = norms(refined, prefix)?;
        let learnt = match student {
            Some(student) => {
                let vit = student.vit();
                let tokens = vit.intermediate(batch, &every(vit));
                norms(tokens.into_iter().enumerate(), vit.prefix_tokens())?
            }
            None => Vec::new(),
        };
        let subjects =
            [(Subject::Teacher, raw), (Subject::Refined, refined), (Subject::Student, learnt)];
        self.add(index, &subjects);
        Ok(())
    }

    /// The refined tokens, with their blocks.
    fn refined(&self, batch: &Tensor<4>, raw: &[Tensor<3>]) -> Vec<(usize, Tensor<3>)> {
        let Compared { teacher, refiner, adapters, .. } = self.compared;
        let vit = teacher.vit();
        match (refiner, adapters) {
            (Some(refiner), _) => {
                let every: Vec<usize> = (0..vit.depth()).collect();
                refiner.intermediate(vit, batch.clone(), &every).into_iter().enumerate().collect()
            }
            (None, Some(adapters)) => adapters
                .iter()
                .map(|(layer, adapter)| {
                    (layer, adapter.forward(raw[layer].clone(), vit.prefix_tokens()))
                })
                .collect(),
            (None, None) => Vec::new(),
        }
    }

    fn add(&mut self, index: usize, subjects: &[(Subject, Norms)]) {
        for (subject, norms) in subjects {
            for (block, norms) in norms {
                let known = self.blocks.iter_mut().find(|(of, at, _)| (of, at) == (subject, block));
                match known {
                    Some((.., stats)) => stats.add_image(norms),
                    None => {
                        let mut stats = NormStats::default();
                        stats.add_image(norms);
                        self.blocks.push((*subject, *block, stats));
                    }
                }
            }
        }
        let maps = self.compared.layers.iter().flat_map(|&(layer, student_layer)| {
            subjects.iter().filter_map(move |(subject, norms)| {
                let block = match subject {
                    Subject::Student => student_layer?,
                    Subject::Teacher | Subject::Refined => layer,
                };
                let (_, norms) = norms.iter().find(|(of, _)| *of == block)?;
                Some(NormMap { subject: *subject, layer, block, norms: norms.clone() })
            })
        });
        self.images.push(Example { index, maps: maps.collect() });
    }

    pub(super) fn finish(mut self) -> Result<Examples> {
        let measured = self.images.len();
        if measured == 0 {
            return Err(Error::NoImages);
        }
        let histograms = histograms(&self.images);
        let largest = |example: &Example| {
            let raw = example.maps.iter().filter(|map| map.subject == Subject::Teacher);
            raw.flat_map(|map| &map.norms).copied().fold(0.0, f32::max)
        };
        self.images.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
        self.images.truncate(KEPT);
        for map in self.images.iter_mut().flat_map(|image| &mut image.maps) {
            map.norms.iter_mut().for_each(|norm| *norm = rounded(*norm));
        }
        let blocks = self.blocks.iter().filter_map(|(subject, block, stats)| {
            Some(BlockNorms { subject: *subject, block: *block, norms: stats.summary()? })
        });
        let refines = self.blocks.iter().any(|(subject, ..)| *subject == Subject::Refined);
        let moved = self.moved.into_iter().filter(|_| refines);
        Ok(Examples {
            grid: self.compared.teacher.config().grid(),
            measured,
            images: self.images,
            blocks: blocks.collect(),
            histograms,
            moved: moved.map(|of| Moved { change: of.change / measured as f32, ..of }).collect(),
        })
    }
}

fn norms(tokens: impl IntoIterator<Item = (usize, Tensor<3>)>, prefix: usize) -> Result<Norms> {
    let each = |(block, tokens)| Ok((block, read(patch_norms(tokens, prefix))?));
    tokens.into_iter().map(each).collect()
}

/// Of each subject and block, in the order of the first image's maps.
fn histograms(images: &[Example]) -> Vec<NormHistogram> {
    let key = |map: &NormMap| (map.subject, map.block);
    let keys = super::distinct(images.iter().flat_map(|image| &image.maps).map(key));
    let histogram = |(subject, block)| {
        let map =
            |image: &'_ Example| image.maps.iter().position(|map| key(map) == (subject, block));
        let all = || {
            let maps = images.iter().filter_map(|image| Some(&image.maps[map(image)?]));
            maps.flat_map(|map| map.norms.iter().copied())
        };
        let high = all().fold(f32::MIN_POSITIVE, f32::max);
        let mut counts = vec![0; BINS];
        let mut sums = [0.0; 2];
        for norm in all().filter(|norm| norm.is_finite()) {
            counts[((norm / high * BINS as f32) as usize).min(BINS - 1)] += 1;
            let norm = f64::from(norm);
            sums = [sums[0] + norm, sums[1] + norm * norm];
        }
        NormHistogram { subject, block, high, counts, sums }
    };
    keys.into_iter().map(histogram).collect()
}

/// To four digits: a map is looked at.
fn rounded(value: f32) -> f32 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
