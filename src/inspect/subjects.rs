use burn::nn::Linear;
use image::RgbImage;

use super::Settings;
use super::batches::batches;
use crate::data::Normalise;
use crate::distill::map_layers;
use crate::error::{Error, Result};
use crate::refine::Adapter;
use crate::vit::{Vit, VitConfig};

/// Whose features a number is about; in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Teacher,
    Refined,
    TrainingFree,
    Student,
}

impl Subject {
    pub(super) fn name(self) -> String {
        match self {
            Self::Teacher => "teacher",
            Self::Refined => "refined teacher",
            Self::TrainingFree => "training-free",
            Self::Student => "student",
        }
        .to_owned()
    }
}

/// A model, and how images reach it.
#[derive(Debug)]
pub struct Model {
    /// What to call it in the findings.
    pub name: String,
    /// On the plain device.
    pub vit: Vit,
    /// Its shape.
    pub config: VitConfig,
    /// Mean and deviation of its images.
    pub normalise: Normalise,
}

/// What a distillation trained for one teacher layer, besides the student.
#[derive(Debug)]
pub struct LayerParts {
    /// The teacher's layer, from 0.
    pub layer: usize,
    /// Refines its features.
    pub adapter: Adapter,
    /// From the student's width to the teacher's.
    pub projection: Linear,
}

/// What to look into.
#[derive(Debug)]
pub struct Subjects {
    /// The teacher.
    pub teacher: Model,
    /// Its student, where there is one.
    pub student: Option<Model>,
    /// All layers of a distillation's run, ascending; empty without one.
    pub run: Vec<LayerParts>,
}

/// An image as the models are to see it: whole patches, before normalisation.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Unique within the inspection.
    pub name: String,
    /// Both sides are multiples of the patch size.
    pub image: RgbImage,
}

impl Subjects {
    /// Rejects what cannot be looked into together, before the work is done.
    ///
    /// # Errors
    /// [`Error::Config`] with the mend.
    pub fn check(&self, settings: &Settings, pictures: &[Picture]) -> Result<()> {
        let Model { config, vit, .. } = &self.teacher;
        settings.check(vit.depth(), vit.embed_dim())?;
        batches(pictures, config.patch_size, settings)?;
        self.student_layers(&settings.layers)?;
        if let Some(student) = &self.student
            && student.config.patch_size != config.patch_size
        {
            return Err(Error::config(format!(
                "the teacher's patches are {} pixels wide and the student's {}; their maps can be compared for equal ones only",
                config.patch_size, student.config.patch_size
            )));
        }
        for LayerParts { layer, adapter, projection } in &self.run {
            let width = vit.embed_dim();
            if *layer >= vit.depth() {
                return Err(Error::config(format!(
                    "the run refines layer {layer}, and the teacher's are 0 to {}: give the teacher of that run",
                    vit.depth() - 1
                )));
            }
            let ([down, rank], [rank_up, up]) = (adapter.down.dims(), adapter.up.dims());
            if down != width || up != width || rank != rank_up {
                return Err(Error::config(format!(
                    "the run's adapter of layer {layer} is for tokens of width {down}, and the teacher's have {width}: give the teacher of that run"
                )));
            }
            let [from, to] = projection.weight.dims();
            let student = self.student.as_ref().map_or(from, |student| student.vit.embed_dim());
            if (from, to) != (student, width) {
                return Err(Error::config(format!(
                    "the run's projection of layer {layer} leads from width {from} to {to}, and student and teacher have {student} and {width}: give the student of that run"
                )));
            }
        }
        Ok(())
    }

    /// What the run trained for a layer.
    pub(super) fn parts(&self, layer: usize) -> Option<&LayerParts> {
        self.run.iter().find(|parts| parts.layer == layer)
    }

    /// The student's layer for each of the teacher's: the run's mapping for the
    /// run's layers, alone for others beside a run, else one to one.
    pub(super) fn student_layers(&self, layers: &[usize]) -> Result<Vec<Option<usize>>> {
        let Some(student) = &self.student else {
            return Ok(vec![None; layers.len()]);
        };
        let (depth, blocks) = (self.teacher.vit.depth(), student.vit.depth());
        let run_layers: Vec<usize> = self.run.iter().map(|parts| parts.layer).collect();
        let mapped = map_layers(&run_layers, depth, blocks)?;
        let of_run = |layer| run_layers.iter().position(|&own| own == layer).map(|at| mapped[at]);
        if self.run.is_empty() {
            if layers.len() > blocks {
                return Err(Error::config(format!(
                    "{} layers need as many student blocks, and the student has {blocks}: name fewer layers",
                    layers.len()
                )));
            }
            return Ok(map_layers(layers, depth, blocks)?.into_iter().map(Some).collect());
        }
        layers
            .iter()
            .map(|&layer| match of_run(layer) {
                Some(own) => Ok(Some(own)),
                None => Ok(map_layers(&[layer], depth, blocks)?.first().copied()),
            })
            .collect()
    }

    /// What cannot be shown, and why.
    pub(super) fn notes(&self, settings: &Settings) -> Vec<String> {
        let mut notes = Vec::new();
        let run_layers: Vec<String> =
            self.run.iter().map(|parts| parts.layer.to_string()).collect();
        let widths =
            self.student.as_ref().map(|s| [self.teacher.vit.embed_dim(), s.vit.embed_dim()]);
        if self.run.is_empty() {
            notes.push("There is no run, so there are no refined features of the teacher.".into());
        }
        for layer in settings.layers.iter().filter(|&&layer| self.parts(layer).is_none()) {
            if !self.run.is_empty() {
                notes.push(format!(
                    "Layer {layer}: the run has neither adapter nor projection for it (its layers are {}).",
                    run_layers.join(", ")
                ));
            }
            if let Some([teacher, student]) = widths
                && teacher != student
            {
                notes.push(format!(
                    "Layer {layer}: teacher and student are not compared, as their tokens are {teacher} and {student} wide and only a run has a projection between them."
                ));
            }
        }
        if self.student.is_none() {
            notes.push("There is no student.".into());
        }
        if settings.inject && self.teacher.vit.head.is_none() {
            notes.push("The teacher has no head, so there are no logits to compare.".into());
        }
        if settings.inject && settings.layers.last() == Some(&(self.teacher.vit.depth() - 1)) {
            notes.push(
                "No block follows the last layer, so patches put back there cannot reach the class token or the logits."
                    .into(),
            );
        }
        notes
    }
}
