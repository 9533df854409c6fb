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
use crate::train::{Loss, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Fitnet`].
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

/// FitNet (Romero et al. 2015, arXiv 1412.6550) for ViTs, as SiNGER compares with
/// it: `Σ_l mse(P_l(F_S,m(l)), F_T,l)` over all tokens, on SiNGER's layers and
/// mapping.
#[derive(Debug)]
pub struct Fitnet {
    teacher: Teacher,
    layers: Vec<usize>,
    student_layers: Vec<usize>,
    settings: FitnetSettings,
}

/// What [`Fitnet`] trains.
#[derive(Module, Debug)]
pub struct FitnetModel {
    /// The student.
    pub student: Vit,
    /// One for each layer: student width to teacher width, with bias.
    pub projections: Vec<Linear>,
}

impl Fitnet {
    /// `layers` are teacher blocks from 0; the last one is always added. `seed`
    /// is that of the projections.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a weight that is negative or not finite; as
    /// [`with_last_layer`] and [`map_layers`].
    pub fn new(
        teacher: Teacher,
        student: Vit,
        layers: &[usize],
        mapping: Mapping,
        settings: FitnetSettings,
        seed: u64,
    ) -> Result<(Self, FitnetModel)> {
        check_weight("fitnet.weight", settings.weight)?;
        let depth = teacher.vit().depth();
        let layers = with_last_layer(layers, depth)?;
        let student_layers = map_layers(&layers, depth, student.depth(), mapping)?;
        let projections = new_projections(layers.len(), &student, teacher.vit(), seed);
        let model = FitnetModel { student, projections };
        Ok((Self { teacher, layers, student_layers, settings }, model))
    }
}

impl Method for Fitnet {
    type Model = FitnetModel;

    fn student<'a>(&self, model: &'a FitnetModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &FitnetModel, inputs: LossInputs<'_>) -> Loss {
        let device = model.student.device();
        let features = self.teacher.tokens(inputs.images, &self.layers);
        let pairs = model.projections.iter().zip(inputs.tokens).zip(features);
        let distance =
            pairs.fold(Tensor::zeros([1], &device), |sum, ((projection, ours), wanted)| {
                sum + mse(projection.forward(ours), as_constant(wanted, &device))
            });
        Loss::of(Term::mean("features", self.settings.weight, distance))
    }

    fn counts(&self, _model: &FitnetModel, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        Some(Vec::new())
    }

    fn parts(&self, model: &FitnetModel) -> Vec<(String, TensorData)> {
        let pairs = self.layers.iter().zip(&model.projections);
        pairs.flat_map(|(&layer, linear)| projection_parts("proj", layer, linear)).collect()
    }
}
