use burn::nn::Linear;
use burn::tensor::Device as BurnDevice;

use super::batches::batches;
use super::feature_source::FeatureSource;
use super::inspection::Settings;
use super::{Inspection, Picture, VisualKind};
use crate::device::Device;
use crate::distill::{Mapping, map_layers};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::refine::{Adapter, Adapters, PartsFile, Refiner};

/// What a distillation trained for one teacher layer, besides the student.
#[derive(Debug)]
pub struct LayerParts {
    /// The teacher's layer, from 0.
    pub layer: usize,
    /// The student's layer that learnt from it.
    pub student_layer: usize,
    /// Refines its features; none where the run's refinement is no adapter of this layer.
    pub adapter: Option<Adapter>,
    /// From the student's width to the teacher's.
    pub projection: Linear,
}

impl LayerParts {
    /// All layers of a run's file, ascending.
    fn read_all(file: &PartsFile, adapters: &Adapters, device: &BurnDevice) -> Result<Vec<Self>> {
        let read = |(layer, student_layer)| {
            let adapter = adapters.get(layer).filter(|_| !adapters.is_closed()).cloned();
            Ok(Self { layer, student_layer, adapter, projection: file.projection(layer, device)? })
        };
        file.layers()?.into_iter().zip(file.student_layers()?).map(read).collect()
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
    /// What is done to the teacher's tokens, each shown beside the raw ones.
    treatments: Vec<(FeatureSource, Refiner)>,
    /// Trained ones that were given apart from a run.
    adapters: Option<Adapters>,
}

impl Comparison {
    /// A teacher alone.
    pub fn of(teacher: Model) -> Self {
        let (run, treatments) = (Vec::new(), Vec::new());
        Self { teacher, student: None, run, treatments, adapters: None }
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
        let adapters = file.adapters(device.burn())?;
        let run = LayerParts::read_all(file, &adapters, device.burn())?;
        let mut compared = Self { run, ..self };
        if adapters.is_closed() {
            compared.treatments.push((FeatureSource::Refined, Refiner::ClosedForm(adapters)));
        }
        Ok(compared)
    }

    /// With adapters from a file of their own. A closed form refines all blocks in turn, of
    /// trained ones each refines its layer.
    ///
    /// # Errors
    /// [`Error::Adapters`] where they are another teacher's.
    pub fn with_adapters(mut self, adapters: Adapters) -> Result<Self> {
        let vit = self.teacher.vit();
        adapters.check(vit.depth(), vit.embed_dim())?;
        match adapters.is_closed() {
            true => self.treatments.push((FeatureSource::Refined, Refiner::ClosedForm(adapters))),
            false => self.adapters = Some(adapters),
        }
        Ok(self)
    }

    /// With a treatment whose outcome is shown, too.
    #[must_use]
    pub fn with_treatment(mut self, refiner: Refiner) -> Self {
        self.treatments.push((FeatureSource::of(&refiner), refiner));
        self
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
        let settings = inspection.resolve(self, pictures.len())?;
        let config = self.teacher.config();
        let batches = batches(pictures, config.patch_size, &settings)?;
        let cells =
            batches.iter().map(|batch| batch.pictures.len() * batch.grid[0] * batch.grid[1]);
        let patches = cells.sum::<usize>() * settings.shifts.pow(2);
        if settings.visuals.contains(&VisualKind::Segments) && settings.segments > patches {
            let expected = format!("there are {patches} patches");
            return Err(Error::setting("segments", settings.segments, expected));
        }
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
        for (_, refiner) in &self.treatments {
            if let Refiner::ClosedForm(adapters) = refiner {
                adapters.check(vit.depth(), width)?;
            }
        }
        for LayerParts { layer, adapter, projection, .. } in &self.run {
            if *layer >= vit.depth() {
                return Err(Error::incompatible(format!(
                    "the run refines layer {layer}, and the teacher's are 0 to {}: give the teacher of that run",
                    vit.depth() - 1
                )));
            }
            let [from, to] = projection.weight.dims();
            let unfit = adapter.as_ref().is_some_and(|own| {
                let ([down, rank], [rank_up, up]) = (own.down.dims(), own.up.dims());
                [down, up] != [width; 2] || rank != rank_up
            });
            if to != width || unfit {
                return Err(Error::incompatible(format!(
                    "what the run trained for layer {layer} is for tokens of width {to}, and the teacher's have {width}: give the teacher of that run"
                )));
            }
            let student = self.student.as_ref().map_or(from, |student| student.vit().embed_dim());
            if from != student {
                return Err(Error::incompatible(format!(
                    "the run's projection of layer {layer} leads from width {from} to {to}, and student and teacher have {student} and {width}: give the student of that run"
                )));
            }
        }
        Ok(())
    }

    /// The trained adapter of a layer: the run's, or the one given.
    pub(super) fn adapter(&self, layer: usize) -> Option<&Adapter> {
        let own = self.parts(layer).and_then(|parts| parts.adapter.as_ref());
        own.or_else(|| self.adapters.as_ref()?.get(layer))
    }

    /// What is done to the tokens on their way through the teacher.
    pub(super) fn treatments(&self) -> &[(FeatureSource, Refiner)] {
        &self.treatments
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
        if self.run.is_empty() && self.treatments.is_empty() && self.adapters.is_none() {
            notes.push("There is no run, so there are no refined features of the teacher.".into());
        }
        for (_, refiner) in &self.treatments {
            match refiner {
                Refiner::ClosedForm(adapters) if adapters.is_empty() => {
                    notes.push("The closed form found no artifacts: it changes nothing.".into());
                }
                Refiner::ClosedForm(adapters) => {
                    notes.push(format!("The closed form refines blocks {:?}.", adapters.layers()));
                }
                Refiner::Registers(registers) if registers.neurons().is_empty() => {
                    let note = "No patch is an outlier, so there are no register neurons.";
                    notes.push(note.into());
                }
                _ => {}
            }
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
