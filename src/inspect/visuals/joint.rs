use super::gather::Gathered;
use super::store::{FeatureFile, Projected};
use super::{Visual, VisualKind, VisualValues};
use crate::error::Result;
use crate::inspect::feature_source::FeatureSource;
use crate::inspect::pass::Pass;
use crate::inspect::statistics::largest;
use crate::maps::{PatchFeatures, PcaColours, SegmentSettings, Segments};

/// Maps over all images at one inspected layer, each with its image's index.
pub(super) struct Layer<'a> {
    pass: &'a Pass<'a>,
    at: usize,
    /// In display order.
    features: Vec<(FeatureSource, &'a FeatureFile)>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(pass: &'a Pass<'a>, features: &'a Gathered, at: usize) -> Self {
        let own = features.iter().filter(|((layer, _), _)| *layer == at);
        Self { pass, at, features: own.map(|((_, source), file)| (*source, file)).collect() }
    }

    fn layer(&self) -> usize {
        self.pass.settings.layers[self.at]
    }

    fn visual(&self, kind: VisualKind, source: FeatureSource, grid: [usize; 2]) -> Visual {
        Visual {
            layer: self.layer(),
            kind,
            subject: source.name(),
            part: String::new(),
            of: String::new(),
            grid,
            values: VisualValues::Labels(Vec::new()),
            marked: None,
            note: String::new(),
        }
    }

    /// Principal components as colours. The basis is that of the first refined features, else of
    /// the teacher's: with a teacher's artifacts in it, they would take the colours of all.
    pub(super) fn colours(&self) -> Result<Vec<(usize, Visual)>> {
        let teachers = self.features.iter().filter(|(source, _)| *source != FeatureSource::Student);
        let Some((basis, reference)) = teachers.take(2).last() else { return Ok(Vec::new()) };
        let colours = PcaColours::fit(*reference, self.pass.settings.foreground)?;
        let mut found = Vec::new();
        for (source, file) in &self.features {
            let (images, how) = self.coloured(&colours, (*basis, reference), (*source, file))?;
            for (image, values) in images.into_iter().enumerate() {
                let values = VisualValues::Colours(values);
                let visual = self.visual(VisualKind::Pca, *source, file.grids()[image]);
                found.push((image, Visual { values, note: how.clone(), ..visual }));
            }
        }
        Ok(found)
    }

    /// The colours of one subject, and in words where they come from.
    fn coloured(
        &self,
        colours: &PcaColours,
        (basis, reference): (FeatureSource, &FeatureFile),
        (source, file): (FeatureSource, &FeatureFile),
    ) -> Result<(Vec<Vec<[f32; 3]>>, String)> {
        let shared = format!("components of the {}", basis.name());
        if source != FeatureSource::Student {
            return Ok((colours.colours(file)?, shared));
        }
        if let Some(parts) = self.pass.compared.parts(self.layer()) {
            let (projection, device) = (&parts.projection, self.pass.device);
            let projected = Projected { own: file, projection, device };
            return Ok((colours.colours(&projected)?, format!("{shared}, through the projection")));
        }
        let turned = colours.turned_colours(reference, file)?;
        Ok((turned, format!("its own components, turned to match those of the {}", basis.name())))
    }

    /// Segments by k-means, each subject in its own space; their numbers are those of the
    /// teacher's segments that they cover most.
    pub(super) fn segments(&self) -> Result<Vec<(usize, Visual)>> {
        let (count, seed) = (self.pass.settings.segments, self.pass.settings.seed);
        let settings = SegmentSettings::default().with(|s| (s.count, s.seed) = (count, seed));
        let mut teacher: Option<Vec<Vec<usize>>> = None;
        let mut found = Vec::new();
        for (source, file) in &self.features {
            let mut labels = Segments::fit(*file, &settings)?.labels;
            match &teacher {
                Some(teacher) => rename(&mut labels, teacher, count),
                None => teacher = Some(labels.clone()),
            }
            for (image, values) in labels.into_iter().enumerate() {
                let values = VisualValues::Labels(values);
                let visual = self.visual(VisualKind::Segments, *source, file.grids()[image]);
                found.push((image, Visual { values, ..visual }));
            }
        }
        Ok(found)
    }

    /// Cosine similarity to the marked patch of the marked image.
    pub(super) fn nearest(&self) -> Result<Vec<(usize, Visual)>> {
        let marked = self.pass.settings.marked_image;
        let place = self.pass.images.iter().find(|(index, _)| *index == marked);
        let Some((_, image)) = place else { return Ok(Vec::new()) };
        let shifts = self.pass.settings.shifts;
        let [row, column] = image.marked.map(|at| at * shifts + shifts / 2);
        let name = &image.name;
        let mut found = Vec::new();
        for (source, file) in &self.features {
            let dim = file.dim();
            let patch = row * file.grids()[marked][1] + column;
            let wanted = file.read(marked)?[patch * dim..][..dim].to_vec();
            for (index, &grid) in file.grids().iter().enumerate() {
                let rows = file.read(index)?;
                let similar: Vec<f32> =
                    rows.chunks_exact(dim).map(|row| cosine(row, &wanted)).collect();
                let best = if index == marked { patch } else { largest(&similar) };
                let at = [best / grid[1], best % grid[1]];
                let note = match index == marked {
                    true => "the marked patch".to_owned(),
                    false => format!(
                        "nearest to row {}, column {} of {name}: row {}, column {}, cosine {:.3}",
                        image.marked[0] + 1,
                        image.marked[1] + 1,
                        at[0] / shifts + 1,
                        at[1] / shifts + 1,
                        similar[best]
                    ),
                };
                let visual = self.visual(VisualKind::Nearest, *source, grid);
                let values = VisualValues::Numbers(similar);
                found.push((index, Visual { values, marked: Some(at), note, ..visual }));
            }
        }
        Ok(found)
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-24)) as f32
}

/// Gives each segment the number of the one in `like` that it shares most patches with; those that
/// share most choose first.
fn rename(labels: &mut [Vec<usize>], like: &[Vec<usize>], count: usize) {
    let mut shared = vec![0usize; count * count];
    for (own, theirs) in labels.iter().flatten().zip(like.iter().flatten()) {
        shared[own * count + theirs] += 1;
    }
    let mut pairs: Vec<usize> = (0..count * count).collect();
    pairs.sort_by_key(|&pair| std::cmp::Reverse(shared[pair]));
    let (mut names, mut taken) = (vec![None; count], vec![false; count]);
    for (own, theirs) in pairs.into_iter().map(|pair| (pair / count, pair % count)) {
        if names[own].is_none() && !taken[theirs] {
            (names[own], taken[theirs]) = (Some(theirs), true);
        }
    }
    labels.iter_mut().flatten().for_each(|label| *label = names[*label].unwrap_or(*label));
}
