use burn::nn::Linear;
use burn::tensor::Device as BurnDevice;

use super::batches::batches;
use super::inspection::Settings;
use super::{Inspection, Picture};
use crate::device::Device;
use crate::distill::{Mapping, map_layers};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::refine::Adapter;
use crate::refine::PartsFile;

/// What a distillation trained for one teacher layer, besides the student.
#[derive(Debug)]
pub struct LayerParts {
    /// The teacher's layer, from 0.
    pub layer: usize,
    /// The student's layer that learnt from it.
    pub student_layer: usize,
    /// Refines its features.
    pub adapter: Adapter,
    /// From the student's width to the teacher's.
    pub projection: Linear,
}

impl LayerParts {
    /// All layers of a run's file, ascending.
    fn read_all(file: &PartsFile, device: &BurnDevice) -> Result<Vec<Self>> {
        let adapters = file.adapters(device)?;
        let read = |(layer, adapter): (usize, &Adapter)| {
            let student_layer = adapters.student_layer(layer).ok_or_else(|| {
                Error::incompatible(
                    "the run's adapters do not say which student layers learnt from them",
                )
            })?;
            let projection = file.projection(layer, device)?;
            Ok(Self { layer, student_layer, adapter: adapter.clone(), projection })
        };
        adapters.iter().map(read).collect()
    }
}

/// The models to compare: a teacher, the adapters that refine its features, and its
/// student.
#[derive(Debug)]
pub struct Comparison {
    /// The teacher.
    pub teacher: Model,
    /// Its student; `None` to inspect the teacher alone.
    pub student: Option<Model>,
    /// All layers of a distillation's run, ascending; empty without one.
    pub run: Vec<LayerParts>,
}

impl Comparison {
    /// A teacher alone.
    pub fn of(teacher: Model) -> Self {
        Self { teacher, student: None, run: Vec::new() }
    }

    /// With its student, on the same device.
    pub fn with_student(self, student: Model) -> Self {
        Self { student: Some(student), ..self }
    }

    /// With the adapters and projections of a SiNGER run's file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file is damaged, [`Error::Incompatible`] where it
    /// does not say which student layers learnt.
    pub fn with_run(self, file: &PartsFile, device: &Device) -> Result<Self> {
        Ok(Self { run: LayerParts::read_all(file, device.burn())?, ..self })
    }

    /// Checks that settings, models and pictures fit each other, before any work is done.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::NoSuchLayer`] for settings that do not fit the
    /// teacher, [`Error::Data`] for pictures that do not, [`Error::Incompatible`] for
    /// models that do not fit each other.
    pub fn check(&self, inspection: &Inspection, pictures: &[Picture]) -> Result<()> {
        self.settings(inspection, pictures).map(drop)
    }

    /// The inspection's settings, checked.
    pub(super) fn settings(
        &self,
        inspection: &Inspection,
        pictures: &[Picture],
    ) -> Result<Settings> {
        self.check_run()?;
        let settings = inspection.resolve(self)?;
        let config = self.teacher.config();
        batches(pictures, config.patch_size, &settings)?;
        self.student_layers(&settings.layers)?;
        if let Some(student) = &self.student
            && student.config().patch_size != config.patch_size
        {
            return Err(Error::incompatible(format!(
                "the teacher's patches are {} pixels wide and the student's {}; only maps of equal patches can be compared",
                config.patch_size,
                student.config().patch_size
            )));
        }
        Ok(settings)
    }

    /// Checks that the run is one of these models.
    fn check_run(&self) -> Result<()> {
        let vit = self.teacher.vit();
        let width = vit.embed_dim();
        for LayerParts { layer, adapter, projection, .. } in &self.run {
            if *layer >= vit.depth() {
                return Err(Error::incompatible(format!(
                    "the run refines layer {layer}, and the teacher's are 0 to {}: give the teacher of that run",
                    vit.depth() - 1
                )));
            }
            let ([down, rank], [rank_up, up]) = (adapter.down.dims(), adapter.up.dims());
            if down != width || up != width || rank != rank_up {
                return Err(Error::incompatible(format!(
                    "the run's adapter of layer {layer} is for tokens of width {down}, and the teacher's have {width}: give the teacher of that run"
                )));
            }
            let [from, to] = projection.weight.dims();
            let student = self.student.as_ref().map_or(from, |student| student.vit().embed_dim());
            if (from, to) != (student, width) {
                return Err(Error::incompatible(format!(
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

    /// The student's layer for each of the teacher's: that of the run for the run's layers.
    /// Beside a run any other layer is mapped by itself; without one all are mapped together.
    pub(super) fn student_layers(&self, layers: &[usize]) -> Result<Vec<Option<usize>>> {
        let Some(student) = &self.student else {
            return Ok(vec![None; layers.len()]);
        };
        let (depth, blocks) = (self.teacher.vit().depth(), student.vit().depth());
        if self.run.is_empty() {
            let mapped = map_layers(layers, depth, blocks, Mapping::default())?;
            return Ok(mapped.into_iter().map(Some).collect());
        }
        layers
            .iter()
            .map(|&layer| match self.parts(layer) {
                Some(parts) => Ok(Some(parts.student_layer)),
                None => Ok(map_layers(&[layer], depth, blocks, Mapping::default())?.pop()),
            })
            .collect()
    }

    /// What cannot be shown and why, one sentence each.
    pub(super) fn notes(&self, settings: &Settings) -> Vec<String> {
        let mut notes = Vec::new();
        let run_layers: Vec<String> =
            self.run.iter().map(|parts| parts.layer.to_string()).collect();
        let widths =
            self.student.as_ref().map(|s| [self.teacher.vit().embed_dim(), s.vit().embed_dim()]);
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
        if settings.inject && self.teacher.vit().head.is_none() {
            notes.push("The teacher has no head, so there are no logits to compare.".into());
        }
        if settings.inject && settings.layers.last() == Some(&(self.teacher.vit().depth() - 1)) {
            notes.push(
                "No block follows the last layer, so patches put back there cannot reach the class token or the logits."
                    .into(),
            );
        }
        notes
    }
}
