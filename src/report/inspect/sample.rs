//! Made-up findings for tests of the report: procedural scenes, random maps with planted
//! outliers.

use image::imageops;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::render;
use crate::inspect::{
    BlockDrift, CLIPPED, DepthRow, DepthSeries, Findings, Histogram, ImageFindings, Injection,
    LayerFindings, LogitDrift, Map, MapKind, PositionShare, REFINED, STUDENT, Spectrum, TEACHER,
    TRAINING_FREE, Visual, VisualKind, VisualValues, ZEROED,
};

/// What the findings should hold.
pub(super) struct Wanted {
    pub(super) images: usize,
    pub(super) grid: [usize; 2],
    pub(super) layers: Vec<usize>,
    pub(super) depth: usize,
    pub(super) refined: bool,
    pub(super) student: bool,
    /// Whether there are further maps.
    pub(super) visuals: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        let (grid, layers) = ([9, 14], vec![5, 11]);
        Self { images: 2, grid, layers, depth: 12, refined: true, student: true, visuals: false }
    }
}

/// The patch at which every teacher map has its largest norm.
pub(super) const PLANTED: usize = 1;
pub(super) const LARGEST: f32 = 143.0;

const PATCH: usize = 16;

impl Wanted {
    fn subjects(&self) -> Vec<&'static str> {
        let refined = [REFINED, TRAINING_FREE].into_iter().filter(|_| self.refined);
        let student = [STUDENT].into_iter().filter(|_| self.student);
        std::iter::once(TEACHER).chain(refined).chain(student).collect()
    }

    pub(super) fn findings(&self) -> Findings {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let subjects = self.subjects();
        let count = self.grid[0] * self.grid[1];
        let images: Vec<_> = (0..self.images).map(|index| self.image(index, &mut rng)).collect();
        let mut models = vec![(TEACHER.to_owned(), "vit_large_patch16_224".to_owned())];
        if self.student {
            models.push((STUDENT.to_owned(), "vit_tiny_patch16_224".to_owned()));
        }
        let each = |make: &mut dyn FnMut(&'static str, usize)| {
            for &layer in &self.layers {
                for subject in &subjects {
                    make(subject, layer);
                }
            }
        };
        let (mut histograms, mut positions) = (Vec::new(), Vec::new());
        each(&mut |subject, layer| {
            let wide = subject == TEACHER;
            histograms.push(Histogram {
                subject: subject.into(),
                layer: if subject == STUDENT { layer / 2 } else { layer },
                teacher_layer: layer,
                edges: (0..=40).map(|bin| bin as f32 * if wide { 3.6 } else { 0.8 }).collect(),
                counts: (0..40)
                    .map(|bin: i32| match (bin - if wide { 3 } else { 14 }).pow(2) {
                        square if square < 30 => 900 >> (square / 3),
                        _ => usize::from(wide && bin > 25 && bin % 3 == 0) * bin as usize / 9,
                    })
                    .collect(),
                threshold: if wide { 60.0 } else { 15.5 },
            });
            let prefer = |place: usize| if place.is_multiple_of(13) { 0.2 } else { 0.01 };
            let share = (0..count).map(|place| prefer(place) * rng.random_range(0.5..1.5));
            let share = share.collect();
            positions.push(PositionShare {
                subject: subject.into(),
                layer,
                grid: self.grid,
                share,
            });
        });
        Findings {
            models,
            device: "llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan)".into(),
            quantile: 0.97,
            layers: self.layers.clone(),
            images,
            depth: subjects.iter().map(|subject| self.depth_series(subject)).collect(),
            histograms,
            positions,
            spectra: self.layers.iter().map(|&layer| spectrum(layer, self.depth)).collect(),
            injections: if self.refined { self.injections() } else { Vec::new() },
            notes: vec!["The student has no head, so its answers were not compared.".into()],
        }
    }

    fn image(&self, index: usize, rng: &mut ChaCha8Rng) -> ImageFindings {
        let [rows, cols] = self.grid;
        let size = [rows * PATCH, cols * PATCH];
        let scene = render(3, index, 256).image;
        let picture = imageops::resize(
            &scene,
            size[1] as u32,
            size[0] as u32,
            imageops::FilterType::Triangle,
        );
        let layers = self.layers.iter().map(|&layer| {
            let mut maps = Vec::new();
            for kind in
                [MapKind::Norm, MapKind::MarkedSimilarity, MapKind::TeacherStudentSimilarity]
            {
                for subject in self.subjects() {
                    let paired = kind == MapKind::TeacherStudentSimilarity;
                    if !paired || (self.student && subject != STUDENT) {
                        maps.push(map(kind, subject, self.grid, rng));
                    }
                }
            }
            let student_layer = self.student.then_some(layer / 2);
            LayerFindings { layer, student_layer, threshold: 40.0, maps }
        });
        ImageFindings {
            name: format!("scene {index}"),
            size,
            grid: self.grid,
            marked: [rows / 2, cols / 3],
            layers: layers.collect(),
            visuals: self.visuals(),
            picture,
        }
    }

    /// One of each kind for each subject, at the first layer.
    fn visuals(&self) -> Vec<Visual> {
        let Some(&layer) = self.layers.first().filter(|_| self.visuals) else { return Vec::new() };
        let [rows, columns] = self.grid;
        let cells = rows * columns;
        let share = |cell: usize| cell as f32 / cells as f32;
        let hidden = |cell: usize| if cell.is_multiple_of(7) { f32::NAN } else { share(cell) };
        let colours = (0..cells).map(|cell| [hidden(cell), share(cell), 0.5]).collect();
        let labels = (0..cells).map(|cell| cell % 5).collect();
        let numbers: Vec<f32> = (0..cells).map(share).collect();
        let numbers = || VisualValues::Numbers(numbers.clone());
        let kinds = [
            (VisualKind::Pca, "", VisualValues::Colours(colours)),
            (VisualKind::Segments, "", VisualValues::Labels(labels)),
            (VisualKind::Nearest, "", numbers()),
            (VisualKind::Attention, "mean", numbers()),
            (VisualKind::Attention, "head 1", numbers()),
            (VisualKind::Sizes, "448 × 288 px", numbers()),
        ];
        let of_subject = |subject: &'static str| {
            kinds.clone().map(|(kind, part, values)| Visual {
                layer,
                kind,
                subject: subject.into(),
                part: part.into(),
                of: "the class token".into(),
                grid: self.grid,
                values,
                marked: (kind == VisualKind::Nearest).then_some([rows / 2, columns / 2]),
                note: String::new(),
            })
        };
        self.subjects().into_iter().flat_map(of_subject).collect()
    }

    fn depth_series(&self, subject: &str) -> DepthSeries {
        let blocks: Vec<usize> = match subject {
            TEACHER => (0..self.depth).collect(),
            STUDENT => (0..self.depth.div_ceil(2)).collect(),
            _ => self.layers.clone(),
        };
        let row = |layer: usize| {
            let median = 8.0 + layer as f32 * 0.6;
            let late = subject == TEACHER && layer * 3 > self.depth;
            let largest = median * if late { 11.0 } else { 1.4 };
            let quantiles = [0.6, 0.7, 0.85, 1.0, 1.15, 1.3, 1.35].map(|share| share * median);
            let [a, b, c, d, e, f, g] = quantiles;
            let outlier_share = if late { 0.068 } else { 0.001 };
            DepthRow { layer, quantiles: [a, b, c, d, e, f, g, largest], outlier_share }
        };
        DepthSeries { subject: subject.into(), rows: blocks.into_iter().map(row).collect() }
    }

    fn injections(&self) -> Vec<Injection> {
        let methods = [(REFINED, 0.002), (TRAINING_FREE, 0.01), (CLIPPED, 0.03), (ZEROED, 0.12)];
        let inject = |layer: usize, method: &str, size: f32| Injection {
            layer,
            method: method.into(),
            blocks: (layer..self.depth)
                .map(|block| {
                    let grown = size * 1.2f32.powi((block - layer) as i32);
                    BlockDrift {
                        block,
                        class_cosine: if block == layer { 1.0 } else { 1.0 - grown * 0.3 },
                        patch_cosine: 1.0 - grown,
                        relative_change: grown * 4.0,
                    }
                })
                .collect(),
            class_cosine: 1.0 - size * 0.4,
            patch_cosine: 1.0 - size * 1.3,
            logits: Some(LogitDrift { kl: size * 0.7, top1_agreement: 1.0 - size }),
        };
        let layers = self.layers.iter();
        layers
            .flat_map(|&layer| methods.map(|(method, size)| inject(layer, method, size)))
            .collect()
    }
}

fn spectrum(layer: usize, depth: usize) -> Spectrum {
    let values = (0..384).map(|index| 6.0 * (-(index as f64) / 70.0).exp() + 2e-3).collect();
    Spectrum { layer, block: (layer + 1).min(depth - 1), values, rank: 64 }
}

fn map(kind: MapKind, subject: &str, [rows, cols]: [usize; 2], rng: &mut ChaCha8Rng) -> Map {
    let mut values: Vec<f32> = (0..rows * cols)
        .map(|place| {
            let wave = ((place % cols) as f32 * 0.5).sin() * ((place / cols) as f32 * 0.6).cos();
            match kind {
                MapKind::Norm => 12.0 + 3.0 * wave + rng.random_range(-1.0..1.0),
                _ => 0.45 + 0.4 * wave + rng.random_range(-0.08..0.08),
            }
        })
        .collect();
    if kind == MapKind::Norm && subject == TEACHER {
        for place in (PLANTED..rows * cols).step_by(31) {
            values[place] = LARGEST * if place == PLANTED { 1.0 } else { 0.7 };
        }
    }
    let summary = summary(&values);
    let above = values.iter().filter(|value| **value > 40.0).count();
    let outliers = (kind == MapKind::Norm).then_some(above);
    Map { kind, subject: subject.into(), values, summary, outliers }
}

/// Smallest, median and largest.
pub(super) fn summary(values: &[f32]) -> [f32; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}
