use burn::tensor::{Device, Tensor};

use super::batches::{Batch, sides};
use super::feature_source::FeatureSource;
use super::injection::{Drift, inject};
use super::inspection::Settings;
use super::norms::NormTable;
use super::replacements::{clipped, zeroed};
use super::statistics::{largest, summary};
use super::{CLIPPED, Comparison, ImageFindings, LayerFindings, Map, MapKind, Picture, ZEROED};
use crate::error::Result;
use crate::maps::{FeatureMaps, Outliers};
use crate::readback::read;
use crate::refine::TrainingFree;
use crate::statistics::{quantile, sorted};
use crate::vit::Vit;

/// Runs the models batch by batch and keeps numbers, not tokens.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) compared: &'a Comparison,
    pub(super) settings: &'a Settings,
    pub(super) device: &'a Device,
    pub(super) maps: &'a FeatureMaps,
    /// The student's layer for each inspected one.
    pub(super) student_layers: Vec<Option<usize>>,
    /// One for each inspected layer, where asked for.
    pub(super) closed_forms: Vec<Option<TrainingFree>>,
    pub(super) norms: NormTable,
    /// By layer and method, in display order.
    pub(super) drifts: Vec<(usize, String, Drift)>,
    /// With each image's index in the set.
    pub(super) images: Vec<(usize, ImageFindings)>,
}

/// One subject's tokens after an inspected layer.
struct Features {
    subject: FeatureSource,
    tokens: Tensor<3>,
    prefix: usize,
    /// Image by image.
    norms: Vec<Vec<f32>>,
}

/// The teacher's tokens after an inspected layer, `[B, T, D]`, with their norms, `[B, P]` and image
/// by image.
struct Raw {
    tokens: Tensor<3>,
    norms: Tensor<2>,
    host: Vec<Vec<f32>>,
}

/// What a batch gives at an inspected layer.
struct Tap {
    features: Vec<Features>,
    /// γ-quantile of each image's raw norms.
    thresholds: Vec<f32>,
}

impl Pass<'_> {
    /// Measures a batch.
    pub(super) fn look(&mut self, batch: &Batch<'_>) -> Result<()> {
        let mut taps = self.teacher(batch)?;
        self.student(batch, &mut taps)?;
        let marks = self.marks(batch, &taps);
        let mut layers: Vec<Vec<LayerFindings>> = vec![Vec::new(); batch.pictures.len()];
        for (at, tap) in taps.iter().enumerate() {
            let mut maps: Vec<Vec<Map>> = vec![Vec::new(); batch.pictures.len()];
            let mut add = |kind, subject: FeatureSource, values: Vec<Vec<f32>>| {
                for (image, values) in values.into_iter().enumerate() {
                    maps[image].push(self.map(kind, subject, values, tap.thresholds[image]));
                }
            };
            for features in &tap.features {
                add(MapKind::Norm, features.subject, features.norms.clone());
            }
            for Features { subject, tokens, prefix, .. } in &tap.features {
                let similar = self.maps.cosine_to(tokens.clone(), &marks, *prefix)?;
                add(MapKind::MarkedSimilarity, *subject, rows(similar)?);
            }
            for (subject, similar) in self.to_student(at, tap)? {
                add(MapKind::TeacherStudentSimilarity, subject, similar);
            }
            for (image, maps) in maps.into_iter().enumerate() {
                layers[image].push(LayerFindings {
                    layer: self.settings.layers[at],
                    student_layer: self.student_layers[at],
                    threshold: tap.thresholds[image],
                    maps,
                });
            }
        }
        let columns = batch.grid[1];
        for (((index, picture), mark), layers) in batch.pictures.iter().zip(marks).zip(layers) {
            let findings = ImageFindings {
                name: picture.name.clone(),
                size: sides(picture),
                grid: batch.grid,
                marked: [mark / columns, mark % columns],
                layers,
                visuals: Vec::new(),
                picture: picture.image.clone(),
            };
            self.images.push((*index, findings));
        }
        Ok(())
    }

    /// All blocks of the teacher; norms of each, more at the inspected layers.
    fn teacher(&mut self, batch: &Batch<'_>) -> Result<Vec<Tap>> {
        let model = &self.compared.teacher;
        let vit = model.vit().with_grid(model.config().grid(), batch.grid)?;
        let images = batch.tensor(model.preprocess().normalise, self.device)?;
        let layers = &self.settings.layers;
        let treated = self.compared.treatments().iter().map(|(source, refiner)| {
            (*source, refiner.intermediate(&vit, images.clone(), layers).into_iter())
        });
        let mut treated: Vec<_> = treated.collect();
        let mut tokens = vit.embed(images);
        let mut taps = Vec::new();
        for block in 0..vit.depth() {
            tokens = vit.forward_blocks(tokens, block..block + 1);
            let norms = self.maps.norms(tokens.clone(), vit.prefix_tokens())?;
            let host = rows(norms.clone())?;
            self.norms.add(FeatureSource::Teacher, block, batch.grid, &host);
            if let Some(at) = self.settings.layers.iter().position(|&layer| layer == block) {
                let treated = treated.iter_mut();
                let treated =
                    treated.filter_map(|(source, layers)| Some((*source, layers.next()?)));
                let raw = Raw { tokens: tokens.clone(), norms, host };
                taps.push(self.tap(at, &vit, raw, treated.collect(), batch.grid)?);
            }
        }
        Ok(taps)
    }

    /// The teacher's features after an inspected layer, and what refinements
    /// make of them.
    fn tap(
        &mut self,
        at: usize,
        teacher: &Vit,
        Raw { tokens, norms, host }: Raw,
        treated: Vec<(FeatureSource, Tensor<3>)>,
        grid: [usize; 2],
    ) -> Result<Tap> {
        let layer = self.settings.layers[at];
        let prefix = teacher.prefix_tokens();
        let outliers = self.maps.outliers(norms.clone(), self.settings.quantile)?;
        let refined = self.refined(at, &tokens, &outliers, treated, prefix)?;
        if self.settings.inject {
            let mut methods: Vec<String> =
                refined.iter().map(|(subject, _)| subject.name()).collect();
            let mut replaced: Vec<Tensor<3>> =
                refined.iter().map(|(_, tokens)| tokens.clone()).collect();
            methods.extend([CLIPPED.to_owned(), ZEROED.to_owned()]);
            replaced.push(clipped(tokens.clone(), norms, &outliers, prefix));
            replaced.push(zeroed(tokens.clone(), &outliers, prefix));
            let drifts = inject(teacher, self.maps, layer, tokens.clone(), replaced)?;
            for (method, drift) in methods.into_iter().zip(drifts) {
                self.add_drift(layer, method, drift);
            }
        }
        let mut features =
            vec![Features { subject: FeatureSource::Teacher, tokens, prefix, norms: host }];
        for (subject, tokens) in refined {
            let norms = rows(self.maps.norms(tokens.clone(), prefix)?)?;
            self.norms.add(subject, layer, grid, &norms);
            features.push(Features { subject, tokens, prefix, norms });
        }
        let thresholds = read(outliers.threshold)?;
        Ok(Tap { features, thresholds })
    }

    /// What refinements make of the teacher's tokens `[B, T, D]` after an inspected layer, in
    /// display order.
    pub(super) fn refined(
        &self,
        at: usize,
        tokens: &Tensor<3>,
        outliers: &Outliers,
        treated: Vec<(FeatureSource, Tensor<3>)>,
        prefix: usize,
    ) -> Result<Vec<(FeatureSource, Tensor<3>)>> {
        let mut refined = Vec::new();
        if let Some(adapter) = self.compared.adapter(self.settings.layers[at]) {
            let tokens = self.maps.refine(tokens.clone(), adapter, prefix)?;
            refined.push((FeatureSource::Refined, tokens));
        }
        refined.extend(treated);
        if let Some(form) = &self.closed_forms[at] {
            let tokens = form.forward(tokens.clone(), outliers.mask.clone(), prefix);
            refined.push((FeatureSource::TrainingFree, tokens));
        }
        Ok(refined)
    }

    fn add_drift(&mut self, layer: usize, method: String, drift: Drift) {
        let known = self.drifts.iter_mut().find(|known| known.0 == layer && known.1 == method);
        match known {
            Some((_, _, sum)) => sum.add(drift),
            None => self.drifts.push((layer, method, drift)),
        }
    }

    /// All blocks of the student; its features join the teacher's that they are
    /// compared with.
    fn student(&mut self, batch: &Batch<'_>, taps: &mut [Tap]) -> Result<()> {
        let Some(model) = &self.compared.student else { return Ok(()) };
        let vit = model.vit().with_grid(model.config().grid(), batch.grid)?;
        let prefix = vit.prefix_tokens();
        let mut tokens = vit.embed(batch.tensor(model.preprocess().normalise, self.device)?);
        for block in 0..vit.depth() {
            tokens = vit.forward_blocks(tokens, block..block + 1);
            let norms = rows(self.maps.norms(tokens.clone(), prefix)?)?;
            self.norms.add(FeatureSource::Student, block, batch.grid, &norms);
            let own = taps.iter_mut().zip(&self.student_layers);
            for (tap, _) in own.filter(|(_, mapped)| **mapped == Some(block)) {
                let (tokens, norms) = (tokens.clone(), norms.clone());
                tap.features.push(Features {
                    subject: FeatureSource::Student,
                    tokens,
                    prefix,
                    norms,
                });
            }
        }
        Ok(())
    }

    /// The marked patch of each image, by its index.
    fn marks(&self, batch: &Batch<'_>, taps: &[Tap]) -> Vec<usize> {
        let teacher = taps.last().and_then(|tap| tap.features.first());
        let of = |(place, (index, _)): (usize, &(usize, &Picture))| match (
            self.settings.mark_in(*index),
            teacher,
        ) {
            (Some([row, col]), _) => row * batch.grid[1] + col,
            (None, Some(last)) => largest(&last.norms[place]),
            (None, None) => 0,
        };
        batch.pictures.iter().enumerate().map(of).collect()
    }

    /// Similarity of each of the teacher's patches to the student's in the
    /// teacher's space; empty where no projection leads there and the widths differ.
    fn to_student(&self, at: usize, tap: &Tap) -> Result<Vec<(FeatureSource, Vec<Vec<f32>>)>> {
        let Some(student) = tap.features.iter().find(|f| f.subject == FeatureSource::Student)
        else {
            return Ok(Vec::new());
        };
        let projected = match self.compared.parts(self.settings.layers[at]) {
            Some(parts) => parts.projection.forward(student.tokens.clone()),
            None => student.tokens.clone(),
        };
        let width = projected.dims()[2];
        let sides = [FeatureSource::Teacher, FeatureSource::Refined];
        let teachers = tap.features.iter().filter(|f| sides.contains(&f.subject));
        teachers
            .filter(|teacher| teacher.tokens.dims()[2] == width)
            .map(|teacher| {
                let prefix = [teacher.prefix, student.prefix];
                let (tokens, projected) = (teacher.tokens.clone(), projected.clone());
                let similar = self.maps.cosine_between(tokens, projected, prefix)?;
                Ok((teacher.subject, rows(similar)?))
            })
            .collect()
    }

    fn map(
        &self,
        kind: MapKind,
        subject: FeatureSource,
        values: Vec<f32>,
        raw_threshold: f32,
    ) -> Map {
        let outliers = (kind == MapKind::Norm).then(|| {
            let threshold = match subject {
                FeatureSource::Student => quantile(&sorted(&values), self.settings.quantile),
                _ => raw_threshold,
            };
            values.iter().filter(|&&norm| norm > threshold).count()
        });
        Map { kind, subject: subject.name(), summary: summary(&values), values, outliers }
    }
}

/// `[B, P]` on the host, image by image.
fn rows(values: Tensor<2>) -> Result<Vec<Vec<f32>>> {
    let patches = values.dims()[1];
    Ok(read(values)?.chunks(patches).map(<[f32]>::to_vec).collect())
}
