//! SiNGER (Yu, Jeong et al., ICLR 2026, arXiv 2509.20986): the teacher's features are
//! refined by low-rank adapters in the left nullspace of the next block, and the student
//! learns from the refined features.
//!
//! [`refine`](crate::refine) makes the basis N and the adapter, [`Refinement`] the outlier and the information loss of a teacher's refined features;
//! [`Singer`] adds the distillation loss, [`AdapterFit`] trains adapters without a student.

mod fit;
mod losses;
mod refinement;
mod settings;
mod start;

pub use fit::{AdapterFit, FitLosses, FitSettings, FitStep};
pub use losses::{Outliers, gram, gram_mse, identity, outliers};
pub use refinement::{LayerNorms, RefinedLayer, Refinement, TeacherFeatures};
pub use settings::{LossForm, LossWeights, OutlierNorm, SingerSettings, Start};
pub use start::{BasisReport, adapters_async};
#[cfg(not(target_family = "wasm"))]
pub use start::{adapters, adapters_on};

use std::collections::HashMap;
#[cfg(not(target_family = "wasm"))]
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};

#[cfg(not(target_family = "wasm"))]
use super::TeacherCache;
use super::projection::{new_projections, projection_parts};
use super::{LossInputs, Method, map_layers, mse};
use crate::error::Result;
use crate::refine::{Adapter, adapter_part};
use crate::train::{Loss, Observation, Shard, Term};
use crate::vit::{Precision, Vit};

/// SiNGER as a method of distillation.
#[derive(Debug)]
pub struct Singer {
    refinement: Refinement,
    student_layers: Vec<usize>,
    ahead: FeaturesAhead,
}

/// The teacher's features of a batch's micro-batches, from when their outliers are counted
/// until their losses are computed, so that the teacher sees each image once.
#[derive(Debug, Default)]
struct FeaturesAhead(Mutex<HashMap<[usize; 3], TeacherFeatures>>);

impl FeaturesAhead {
    fn kept(&self) -> MutexGuard<'_, HashMap<[usize; 3], TeacherFeatures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the features of `images` images from place `first` on of batch `step`.
    fn keep(&self, place @ [step, ..]: [usize; 3], features: TeacherFeatures) {
        let mut kept = self.kept();
        kept.retain(|[of, ..], _| *of == step);
        kept.insert(place, features);
    }

    fn take(&self, place: [usize; 3]) -> Option<TeacherFeatures> {
        self.kept().remove(&place)
    }
}

/// What [`Singer`] trains.
#[derive(Module, Debug)]
pub struct SingerModel {
    /// The student.
    pub student: Vit,
    /// One for each distilled layer: how the teacher's features are refined.
    pub adapters: Vec<Adapter>,
    /// One for each distilled layer: student width to teacher width, with bias.
    pub projections: Vec<Linear>,
}

impl Singer {
    /// A teacher on the plain device and a student on the training device, with adapters
    /// from the left nullspace of the teacher's blocks. `seed` is that of the projections
    /// and of random basis vectors. The reports say how the bases came out.
    ///
    /// # Errors
    /// As [`SingerSettings::resolve_layers`], [`map_layers`] and
    /// [`Basis::select`](nullspace::Basis::select).
    #[cfg(not(target_family = "wasm"))]
    pub fn new(
        teacher: Vit,
        student: Vit,
        settings: &SingerSettings,
        seed: u64,
    ) -> Result<(Self, SingerModel, Vec<BasisReport>)> {
        let layers = settings.resolve_layers(teacher.depth())?;
        let (start, reports) = adapters(&teacher, &layers, settings, seed, &student.device())?;
        let (method, model) = Self::with_adapters(teacher, student, start, settings, seed)?;
        Ok((method, model, reports))
    }

    /// As `new`, from adapters that are there already, one for each layer, on the training
    /// device.
    ///
    /// # Errors
    /// As [`SingerSettings::resolve_layers`] and [`map_layers`].
    pub fn with_adapters(
        teacher: Vit,
        student: Vit,
        adapters: Vec<Adapter>,
        settings: &SingerSettings,
        seed: u64,
    ) -> Result<(Self, SingerModel)> {
        let refinement = Refinement::new(teacher, settings, &student.device())?;
        let teacher = refinement.teacher();
        let student_layers =
            map_layers(refinement.layers(), teacher.depth(), student.depth(), settings.mapping)?;
        let projections = new_projections(adapters.len(), &student, teacher, seed);
        let model = SingerModel { student, adapters, projections };
        let ahead = FeaturesAhead::default();
        Ok((Self { refinement, student_layers, ahead }, model))
    }

    /// Runs the teacher with matrix products in `precision`; its features stay f32.
    #[must_use]
    pub fn with_teacher_precision(self, precision: Precision) -> Self {
        Self { refinement: self.refinement.with_teacher_precision(precision), ..self }
    }

    /// As [`Refinement::with_teacher_cache`].
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn with_teacher_cache(self, cache: Option<Arc<dyn TeacherCache>>) -> Self {
        Self { refinement: self.refinement.with_teacher_cache(cache), ..self }
    }

    /// The teacher and its refinement.
    pub fn refinement(&self) -> &Refinement {
        &self.refinement
    }
}

impl Method for Singer {
    type Model = SingerModel;

    fn student<'a>(&self, model: &'a SingerModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.refinement.teacher())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    /// `L = (λ_KD L_KD + λ_outlier L_outlier + λ_info L_info) / |D|`.
    fn loss(&self, model: &SingerModel, inputs: LossInputs<'_>) -> Loss {
        let features = self.ahead.take([inputs.step, inputs.first, inputs.labels.len()]);
        let features = features.unwrap_or_else(|| self.refinement.features(inputs.images));
        let refined = self.refinement.refine(&model.adapters, features);

        // L_KD = Σ_l mse(P_l(F_S,m(l)), F̂_l); the target keeps its gradient.
        let pairs = inputs.tokens.into_iter().zip(&model.projections).zip(&refined);
        let distances = pairs.map(|((student, projection), layer)| {
            mse(projection.forward(student), layer.tokens.clone())
        });
        let distance = distances.reduce(|a, b| a + b).expect("there is a last layer");
        let kd_weight = self.refinement.settings().weights.kd * self.refinement.share();
        let kd = Term::mean("kd", kd_weight, distance);

        let largest = |layer: &RefinedLayer| layer.outliers.norms.clone().max_dim(1).mean();
        let means = Tensor::cat(refined.iter().map(largest).collect(), 0);
        let mut terms = vec![kd];
        terms.extend(self.refinement.terms(refined));
        Loss {
            terms,
            observations: vec![Observation { name: "refined_norm_max", means }],
            remembered: None,
            recompute: None,
        }
    }

    fn counts(&self, model: &SingerModel, shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        let features = self.refinement.features(shard.images.clone());
        let counts = self.refinement.counts(&model.adapters.valid(), &features);
        self.ahead.keep([shard.step, shard.first, shard.labels.len()], features);
        Some(counts)
    }

    fn parts(&self, model: &SingerModel) -> Vec<(String, TensorData)> {
        let layers = self.refinement.layers().iter();
        let mut parts = Vec::new();
        for ((layer, adapter), projection) in layers.zip(&model.adapters).zip(&model.projections) {
            parts.push((adapter_part(*layer, "down"), adapter.down.val().into_data()));
            parts.push((adapter_part(*layer, "up"), adapter.up.val().into_data()));
            parts.extend(projection_parts("proj", *layer, projection));
        }
        parts
    }
}
