use std::path::Path;

use burn::tensor::Tensor;
use image::RgbImage;
use image::imageops::thumbnail;
use serde::{Deserialize, Serialize};

use super::measure::Pass;
use crate::data::{ImageSet, eval_crop};
use crate::device::Device;
use crate::distill::singer::LayerNorms;
use crate::distill::with_last_layer;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::refine::{Adapters, Refiner};
use crate::run::{DistillConfig, MethodKind, RefineKind, Run, treatment};
use crate::tokens::NormSummary;
use crate::weights::write_atomically;

/// Images that are measured.
const MEASURED: usize = 8;
/// Longer side of a photograph in a page, in pixels.
const PHOTO: u32 = 160;
/// Their name in a run's folder.
const FILE: &str = "examples.json";

/// Patch norms on a few of a run's own images: of the teacher, of the refined teacher and of the
/// student. It holds numbers alone, and no image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examples {
    /// Rows and columns of patches.
    pub grid: [usize; 2],
    /// Images measured, evenly spread over the validation images, or else over those of training.
    pub measured: usize,
    /// Maps of those with the largest norms, first the largest.
    pub images: Vec<Example>,
    /// Norms after every block, over all images measured.
    pub blocks: Vec<BlockNorms>,
    /// How norms are distributed at the layers that are learnt from.
    pub histograms: Vec<NormHistogram>,
    /// How far refinement moves the patch tokens of these layers.
    pub moved: Vec<Moved>,
}

/// The maps of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its place among the images measured.
    pub index: usize,
    /// By layer of the teacher, and there by subject.
    pub maps: Vec<NormMap>,
}

/// Whose features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The teacher's, raw.
    Teacher,
    /// The teacher's, as the student learns from them.
    Refined,
    /// The student's.
    Student,
}

impl Subject {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Refined => "refined teacher",
            Self::Student => "student",
        }
    }
}

/// Patch norms of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormMap {
    /// Whose.
    pub subject: Subject,
    /// The teacher's block, from 0, that the map belongs to.
    pub layer: usize,
    /// The subject's own block.
    pub block: usize,
    /// Row-major, one for each patch.
    pub norms: Vec<f32>,
}

/// Patch norms after a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockNorms {
    /// Whose.
    pub subject: Subject,
    /// The subject's own block, from 0.
    pub block: usize,
    /// Over all images measured.
    pub norms: NormSummary,
}

/// A histogram of patch norms with bins of equal width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormHistogram {
    /// Whose.
    pub subject: Subject,
    /// The subject's own block, from 0.
    pub block: usize,
    /// The last bin's right edge; the first one begins at 0.
    pub high: f32,
    /// Patches in each bin.
    pub counts: Vec<usize>,
    /// Sum of the norms, and of their squares.
    pub sums: [f64; 2],
}

/// How far refinement moves patch tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The teacher's block.
    pub layer: usize,
    /// Mean over patches of the norm of the change over the norm of the raw token.
    pub change: f32,
}

/// The models whose norms are compared.
pub struct Compared<'a> {
    /// The teacher.
    pub teacher: &'a Model,
    /// What refines its features block by block, where they are frozen.
    pub refiner: Option<Refiner>,
    /// Trained adapters, each of which refines its own layer.
    pub adapters: Option<&'a Adapters>,
    /// The student, on the same device.
    pub student: Option<&'a Model>,
    /// Layers of the teacher, with the student's that learns from each.
    pub layers: Vec<(usize, Option<usize>)>,
}

impl Examples {
    /// Of a finished distillation, on its own images. None where it has no teacher, or where its
    /// images or models came from memory.
    ///
    /// # Errors
    /// Those of opening the teacher and the images, and of the device.
    pub fn of_run(run: &Run) -> Result<Option<Self>> {
        let config = run.config();
        if config.method == MethodKind::None || config.teacher.weights.is_none() {
            return Ok(None);
        }
        let student = run.student();
        let device = Device::of(&student.vit().device());
        let resolved = config.teacher.resolve_for("teacher")?;
        let preprocess = config.data.preprocess(resolved.preprocess()?)?;
        let teacher = resolved.load(0, &device)?.with_preprocess(preprocess);
        let side = teacher.config().img_size.into_iter().max().unwrap_or_default();
        let Some(images) = config.data.few(MEASURED, side)? else { return Ok(None) };
        let closed = run.adapters().filter(|adapters| adapters.is_closed());
        let refiner = match (closed, config.refine) {
            (Some(closed), _) => Some(Refiner::ClosedForm(closed.clone())),
            (None, Some(kind @ (RefineKind::Neighbours | RefineKind::Averaged))) => {
                // They are made without images.
                let none = Vec::<Tensor<4>>::new();
                treatment(kind, config, teacher.vit(), &none, preprocess.normalise)?
            }
            // What test-time registers found is not kept with the run.
            _ => None,
        };
        let compared = Compared {
            layers: layers(run, &teacher)?,
            teacher: &teacher,
            refiner,
            adapters: run.adapters().filter(|adapters| !adapters.is_closed()),
            student: Some(student),
        };
        Self::measure(&compared, &images).map(Some)
    }

    /// Measures models on images, unreadable ones of which are left out.
    ///
    /// # Errors
    /// [`Error::NoImages`] where none can be read; those of the device.
    pub fn measure(compared: &Compared<'_>, images: &ImageSet) -> Result<Self> {
        let mut pass = Pass::new(compared);
        let transform = compared.teacher.preprocess().transform(compared.teacher.config().img_size);
        for index in 0..images.len() {
            let crop = images.read(index).and_then(|image| eval_crop(&image, &transform));
            if let Ok(crop) = crop {
                pass.look(index, &crop)?;
            }
        }
        pass.finish()
    }

    /// Norms of raw and refined features of some of the teacher's blocks.
    pub fn norms(&self, layers: &[usize]) -> Vec<LayerNorms> {
        let of = |subject: Subject, layer: usize| {
            let mut all = self.blocks.iter();
            all.find(|of| of.subject == subject && of.block == layer).map(|of| of.norms)
        };
        let norms = |&layer: &usize| {
            let (raw, refined) = (of(Subject::Teacher, layer)?, of(Subject::Refined, layer)?);
            Some(LayerNorms { layer, raw, refined })
        };
        layers.iter().filter_map(norms).collect()
    }

    /// Those of a run's folder, where they were measured.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps them in a run's folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec(self).map_err(|error| Error::io(&path, error.into()))?;
        write_atomically(&path, &text)
    }
}

/// The photographs of a run's example maps, in the maps' order, small enough for a page.
///
/// # Errors
/// Those of opening the run's teacher and images; [`Error::Missing`] where they came from memory.
pub fn photographs(config: &DistillConfig, examples: &Examples) -> Result<Vec<RgbImage>> {
    let teacher = config.teacher.resolve_for("teacher")?;
    let preprocess = config.data.preprocess(teacher.preprocess()?)?;
    let size = teacher.config.img_size;
    let side = size.into_iter().max().unwrap_or_default();
    let images = config.data.few(MEASURED, side)?.ok_or(Error::Missing("training images"))?;
    let transform = preprocess.transform(size);
    let photograph = |example: &Example| {
        let photo = eval_crop(&images.read(example.index)?, &transform)?;
        let longer = photo.width().max(photo.height()).max(1);
        let small = |side: u32| (side * PHOTO.min(longer) / longer).max(1);
        Ok(thumbnail(&photo, small(photo.width()), small(photo.height())))
    };
    examples.images.iter().map(photograph).collect()
}

/// The teacher's layers that a run learnt from, with the student's.
fn layers(run: &Run, teacher: &Model) -> Result<Vec<(usize, Option<usize>)>> {
    let depth = teacher.vit().depth();
    let learnt = &run.measurements().student_layers;
    let config = run.config();
    let layers = match config.method {
        MethodKind::Relational | MethodKind::Proteus | MethodKind::Kd => vec![depth - 1],
        _ => with_last_layer(&config.singer.layers, depth)?,
    };
    let last = run.student().vit().depth() - 1;
    let mapped = |index: usize| learnt.get(index).copied().unwrap_or(last);
    Ok(layers.into_iter().enumerate().map(|(index, layer)| (layer, Some(mapped(index)))).collect())
}
