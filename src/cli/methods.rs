//! How each method of `singer distill` is made from the settings.

use std::path::Path;

use burn::tensor::{Device, FloatDType};

use super::config::{DistillConfig, Precision};
use crate::data::ImageSet;
use crate::distill::{BasisReport, Distiller, Trainee};
use crate::error::{Error, Result};
use crate::eval::{EvalSettings, LayerNorms, distilled_norms};
use crate::method::{Fitnet, Kd, LabelsOnly, Method, Singer, Teacher, Vitkd};
use crate::refine::Adapter;
use crate::vit::Vit;
use crate::weights::{PartsFile, WeightsFile};

/// What a method is made from.
pub(super) struct Models<'a> {
    /// On the plain device; none for labels alone.
    pub(super) teacher: Option<Vit>,
    /// On the training device.
    pub(super) student: Vit,
    pub(super) config: &'a DistillConfig,
    /// Patches along height and width.
    pub(super) grid: [usize; 2],
    pub(super) training: &'a Device,
}

impl Models<'_> {
    fn take_teacher(&mut self) -> Result<Vit> {
        self.teacher.take().ok_or_else(|| Error::config("the method needs a teacher"))
    }

    fn frozen_teacher(&mut self) -> Result<Teacher> {
        let dtype = match self.config.precision {
            Precision::F32 => FloatDType::F32,
            Precision::F16 => FloatDType::F16,
        };
        Ok(Teacher::new(self.take_teacher()?, dtype))
    }
}

/// On which images patch norms are measured.
pub(super) struct Measure<'a> {
    pub(super) images: ImageSet,
    pub(super) settings: EvalSettings,
    pub(super) device: &'a Device,
}

/// Patch norms of the refined layers, of a model on the plain device.
type Norms<M> = fn(&M, &<M as Method>::Model, &Measure<'_>) -> Result<Vec<LayerNorms>>;

/// A method ready to be trained.
pub(super) struct Prepared<M: Method> {
    pub(super) method: M,
    pub(super) model: M::Model,
    pub(super) bases: Vec<BasisReport>,
    pub(super) norms: Norms<M>,
}

impl<M: Method> Prepared<M> {
    /// A method that refines nothing.
    fn plain(method: M, model: M::Model) -> Self {
        Self { method, model, bases: Vec::new(), norms: |_, _, _| Ok(Vec::new()) }
    }
}

pub(super) fn singer(mut models: Models<'_>) -> Result<Prepared<Singer>> {
    let teacher = models.take_teacher()?;
    let Models { student, config, training, .. } = models;
    let settings = config.singer.clone();
    let layers = settings.resolve_layers(teacher.depth())?;
    let depth = student.depth();
    let (model, bases) = match &config.adapters {
        None => Trainee::new(student, &teacher, &layers, &settings, config.seed)?,
        Some(path) => {
            let adapters = trained(path, &layers, teacher.embed_dim(), training)?;
            (Trainee::with_adapters(student, &teacher, adapters, config.seed), Vec::new())
        }
    };
    let mut distiller = Distiller::new(teacher, depth, settings, training)?;
    if config.precision == Precision::F16 {
        distiller = distiller.with_teacher_precision(FloatDType::F16);
    }
    let norms: Norms<Singer> = |method, model, on| {
        distilled_norms(&method.distiller, model, &on.images, &on.settings, on.device)
    };
    Ok(Prepared { method: Singer { distiller }, model, bases, norms })
}

/// The adapters of another run for tokens of width `dim`.
fn trained(path: &Path, layers: &[usize], dim: usize, device: &Device) -> Result<Vec<Adapter>> {
    let file = PartsFile::new(WeightsFile::open(path)?);
    let there = file.layers()?;
    if let Some(layer) = layers.iter().find(|layer| !there.contains(layer)) {
        return Err(Error::config(format!(
            "{} has adapters for blocks {there:?} and none for block {layer}: choose the layers that it has",
            path.display()
        )));
    }
    let adapter = |&layer: &usize| {
        let adapter = file.adapter(layer, device)?;
        match adapter.down.dims()[0] {
            width if width == dim => Ok(adapter),
            width => Err(Error::config(format!(
                "{} is of a teacher of width {width}; this one's is {dim}",
                path.display()
            ))),
        }
    };
    layers.iter().map(adapter).collect()
}

pub(super) fn fitnet(mut models: Models<'_>) -> Result<Prepared<Fitnet>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, .. } = models;
    let layers = &config.singer.layers;
    let (method, model) = Fitnet::new(teacher, student, layers, config.fitnet, config.seed)?;
    Ok(Prepared::plain(method, model))
}

pub(super) fn vitkd<const TRAINED: bool>(mut models: Models<'_>) -> Result<Prepared<Vitkd>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, grid, .. } = models;
    let (layers, settings) = (&config.singer.layers, config.vitkd.clone());
    let (method, model) =
        Vitkd::new(teacher, student, layers, grid, settings, TRAINED, config.seed)?;
    Ok(Prepared::plain(method, model))
}

pub(super) fn kd(mut models: Models<'_>) -> Result<Prepared<Kd>> {
    let teacher = models.frozen_teacher()?;
    let method = Kd::new(teacher, &models.student, models.config.kd)?;
    Ok(Prepared::plain(method, models.student))
}

pub(super) fn labels_only(models: Models<'_>) -> Result<Prepared<LabelsOnly>> {
    Ok(Prepared::plain(LabelsOnly, models.student))
}
