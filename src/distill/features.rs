use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::projection::{new_projections, projection_parts};
use super::{
    LossInputs, Mapping, Method, Teacher, as_constant, check_weight, map_layers, mse,
    with_last_layer,
};
use crate::error::Result;
use crate::tokens::unit_length;
use crate::train::{Loss, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Distance::Mse`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FitnetSettings {
    /// Weight of the loss.
    pub weight: f64,
}

impl Default for FitnetSettings {
    /// The weight 10 of SiNGER's reference implementation.
    fn default() -> Self {
        Self { weight: 10.0 }
    }
}

impl FitnetSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::FitnetSettings::default().with(|s| s.weight = 1.0);
    /// assert_eq!(settings.weight, 1.0);
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Settings of [`Distance::Cosine`] and of [`Distance::Normalised`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NormalisedSettings {
    /// Weight of the loss.
    pub weight: f64,
}

impl Default for NormalisedSettings {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

impl NormalisedSettings {
    /// The settings with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// How far the student's projected tokens are from the teacher's: `[B, T, D]` twice to `[1]`,
/// a mean over all tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distance {
    /// The mean squared difference: FitNet (Romero et al. 2015, arXiv 1412.6550) for ViTs, as
    /// SiNGER compares with it. Tokens of large norm weigh most.
    Mse,
    /// One minus the cosine of the angle between the two tokens, whatever their norms.
    Cosine,
    /// The mean squared difference from the teacher's tokens after a LayerNorm without scale
    /// and shift, which brings them all to the same norm.
    Normalised,
}

impl Distance {
    fn weight_setting(self) -> &'static str {
        match self {
            Self::Mse => "fitnet.weight",
            Self::Cosine => "cosine.weight",
            Self::Normalised => "normalised.weight",
        }
    }

    /// The distance of `made` from `wanted`, the teacher's.
    pub fn between(self, made: Tensor<3>, wanted: Tensor<3>) -> Tensor<1> {
        match self {
            Self::Mse => mse(made, wanted),
            Self::Cosine => {
                let cosines = (unit_length(made) * unit_length(wanted)).sum_dim(2);
                cosines.mean().neg() + 1.0
            }
            Self::Normalised => mse(made, normalised(wanted)),
        }
    }
}

/// LayerNorm without scale and shift, with PyTorch's epsilon: `[B, T, D] -> [B, T, D]`.
fn normalised(tokens: Tensor<3>) -> Tensor<3> {
    let centred = tokens.clone() - tokens.mean_dim(2);
    let deviation = (centred.clone().square().mean_dim(2) + 1e-5).sqrt();
    centred / deviation
}

/// Distillation of features: `Σ_l distance(P_l(F_S,m(l)), F_T,l)` over all tokens, on SiNGER's
/// layers and mapping. The methods of this form differ in their [`Distance`] alone.
#[derive(Debug)]
pub struct FeatureDistillation {
    teacher: Teacher,
    layers: Vec<usize>,
    student_layers: Vec<usize>,
    distance: Distance,
    weight: f64,
}

/// What [`FeatureDistillation`] trains.
#[derive(Module, Debug)]
pub struct FeatureModel {
    /// The student.
    pub student: Vit,
    /// One for each layer: student width to teacher width, with bias.
    pub projections: Vec<Linear>,
}

impl FeatureDistillation {
    /// `layers` are teacher blocks from 0; the last one is always added. `weight` is that of
    /// the loss, `seed` that of the projections.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a weight that is negative or not finite; as
    /// [`with_last_layer`] and [`map_layers`].
    pub fn new(
        teacher: Teacher,
        student: Vit,
        layers: &[usize],
        mapping: Mapping,
        distance: Distance,
        weight: f64,
        seed: u64,
    ) -> Result<(Self, FeatureModel)> {
        check_weight(distance.weight_setting(), weight)?;
        let depth = teacher.vit().depth();
        let layers = with_last_layer(layers, depth)?;
        let student_layers = map_layers(&layers, depth, student.depth(), mapping)?;
        let projections = new_projections(layers.len(), &student, teacher.vit(), seed);
        let model = FeatureModel { student, projections };
        Ok((Self { teacher, layers, student_layers, distance, weight }, model))
    }
}

impl FeatureDistillation {
    /// The teacher, with what refines its features.
    pub fn frozen_teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// The teacher's layers that the student learns from, ascending.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }
}

impl Method for FeatureDistillation {
    type Model = FeatureModel;

    fn student<'a>(&self, model: &'a FeatureModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &FeatureModel, inputs: LossInputs<'_>) -> Loss {
        let device = model.student.device();
        let features = self.teacher.tokens(inputs.images, &self.layers);
        let pairs = model.projections.iter().zip(inputs.tokens).zip(features);
        let distance =
            pairs.fold(Tensor::zeros([1], &device), |sum, ((projection, ours), wanted)| {
                let made = projection.forward(ours);
                sum + self.distance.between(made, as_constant(wanted, &device))
            });
        Loss::of(Term::mean("features", self.weight, distance))
    }

    fn counts(&self, _model: &FeatureModel, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        Some(Vec::new())
    }

    fn parts(&self, model: &FeatureModel) -> Vec<(String, TensorData)> {
        let pairs = self.layers.iter().zip(&model.projections);
        pairs.flat_map(|(&layer, linear)| projection_parts("proj", layer, linear)).collect()
    }
}
