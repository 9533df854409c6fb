//! How each method is made from the settings.

use std::sync::Arc;

use burn::tensor::Device;

use super::refinement::ReadAnew;
use super::{DistillConfig, RefineKind};
use crate::data::ImageSet;
use crate::distill::singer::{
    BasisReport, LayerNorms, Singer, SingerSettings, adapters as start, adapters_on,
};
use crate::distill::{
    Distance, FeatureDistillation, Kd, LabelsOnly, Method, Proteus, Relational, Teacher,
    TeacherCache, Vitkd,
};
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::probe::{EvalSettings, batches};
use crate::refine::{Adapters, Refiner};
use crate::vit::Vit;

/// What a method is made from.
pub(super) struct Models<'a> {
    /// On the plain device; none for labels alone.
    pub(super) teacher: Option<Vit>,
    /// On the training device.
    pub(super) student: Vit,
    pub(super) config: &'a DistillConfig,
    /// What products are computed in.
    pub(super) precision: Precision,
    /// What refines a frozen teacher's features.
    pub(super) refiner: Option<Refiner>,
    /// The images on which refinements are estimated, where one is.
    pub(super) images: Option<&'a ReadAnew<'a>>,
    /// To start training from, instead of the nullspace.
    pub(super) adapters: Option<&'a Adapters>,
    /// Patches along height and width.
    pub(super) grid: [usize; 2],
    /// The number of training images, where it is known.
    pub(super) count: Option<usize>,
    pub(super) training: &'a Device,
    /// Where what the teacher computes is kept.
    pub(super) cache: Option<Arc<dyn TeacherCache>>,
}

impl Models<'_> {
    fn take_teacher(&mut self) -> Result<Vit> {
        self.teacher.take().ok_or(Error::Missing("teacher"))
    }

    fn frozen_teacher(&mut self) -> Result<Teacher> {
        let teacher = Teacher::new(self.take_teacher()?).with_precision(self.precision);
        Ok(teacher.refined(self.refiner.take()).with_cache(self.cache.clone()))
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
    let Models { student, config, precision, adapters, images, training, cache, .. } = models;
    let settings = match config.refine {
        Some(RefineKind::Trained) => config.singer.clone().robust(),
        _ => config.singer.clone(),
    };
    let layers = settings.resolve_layers(teacher.depth())?;
    let (adapters, bases) = match (adapters, images) {
        (Some(given), _) => {
            (given.for_training(&layers, teacher.embed_dim(), training)?, Vec::new())
        }
        (None, Some(images)) => {
            adapters_on(&teacher, &layers, &settings, config.seed, images, training)?
        }
        (None, None) => start(&teacher, &layers, &settings, config.seed, training)?,
    };
    let (method, model) =
        Singer::with_adapters(teacher, student, adapters, &settings, config.seed)?;
    let method = method.with_teacher_precision(precision).with_teacher_cache(cache);
    let norms: Norms<Singer> = |method, model, on| {
        let images = batches(&on.images, &on.settings, on.device)?.map(|batch| Ok(batch?.0));
        method.refinement().norms(&model.adapters, images)
    };
    Ok(Prepared { method, model, bases, norms })
}

/// SiNGER with a frozen teacher: `λ_KD / |D|` times the mean squared difference from its
/// refined features.
pub(super) fn singer_frozen(models: Models<'_>) -> Result<Prepared<FeatureDistillation>> {
    let teacher = models.teacher.as_ref().ok_or(Error::Missing("teacher"))?;
    let singer = &models.config.singer;
    let layers = singer.resolve_layers(teacher.depth())?.len();
    let weight = singer.weights.kd / layers as f64;
    from_features(models, Distance::Mse, weight)
}

pub(super) fn features(
    models: Models<'_>,
    distance: Distance,
) -> Result<Prepared<FeatureDistillation>> {
    let config = models.config;
    let weight = match distance {
        Distance::Mse => config.fitnet.weight,
        Distance::Cosine => config.cosine.weight,
        Distance::Normalised => config.normalised.weight,
    };
    from_features(models, distance, weight)
}

fn from_features(
    mut models: Models<'_>,
    distance: Distance,
    weight: f64,
) -> Result<Prepared<FeatureDistillation>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, .. } = models;
    let SingerSettings { layers, mapping, .. } = &config.singer;
    let (method, model) = FeatureDistillation::new(
        teacher,
        student,
        layers,
        *mapping,
        distance,
        weight,
        config.seed,
    )?;
    let norms: Norms<FeatureDistillation> = |method, _, on| {
        let images = batches(&on.images, &on.settings, on.device)?.map(|batch| Ok(batch?.0));
        method.frozen_teacher().norms(method.layers(), images)
    };
    Ok(Prepared { method, model, bases: Vec::new(), norms })
}

pub(super) fn vitkd<const TRAINED: bool>(mut models: Models<'_>) -> Result<Prepared<Vitkd>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, grid, .. } = models;
    let SingerSettings { layers, mapping, .. } = &config.singer;
    let (settings, seed) = (config.vitkd.clone(), config.seed);
    let (method, model) =
        Vitkd::new(teacher, student, layers, *mapping, grid, settings, TRAINED, seed)?;
    Ok(Prepared::plain(method, model))
}

pub(super) fn relational(mut models: Models<'_>) -> Result<Prepared<Relational>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, count, .. } = models;
    let (method, model) = Relational::new(teacher, student, count, config.relational, config.seed)?;
    Ok(Prepared::plain(method, model))
}

pub(super) fn proteus(mut models: Models<'_>) -> Result<Prepared<Proteus>> {
    let teacher = models.frozen_teacher()?;
    let Models { student, config, grid, .. } = models;
    let (method, model) = Proteus::new(teacher, student, grid, config.proteus, config.seed)?;
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
