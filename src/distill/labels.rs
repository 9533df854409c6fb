use burn::tensor::{Tensor, TensorData};

use super::{LossInputs, Method};
use crate::train::{Loss, Shard, label_loss};
use crate::vit::Vit;

/// No distillation: the student learns from labels alone, by cross-entropy. The
/// baseline that says what a teacher is worth.
#[derive(Debug)]
pub struct LabelsOnly;

impl Method for LabelsOnly {
    type Model = Vit;

    fn student<'a>(&self, model: &'a Vit) -> &'a Vit {
        model
    }

    fn student_layers(&self) -> &[usize] {
        &[]
    }

    fn wants_logits(&self) -> bool {
        true
    }

    fn loss(&self, _model: &Vit, inputs: LossInputs<'_>) -> Loss {
        let logits = inputs.logits.expect("logits were asked for");
        label_loss("labels", 1.0, logits, inputs.labels, 0.0)
    }

    fn counts(&self, _model: &Vit, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        Some(Vec::new())
    }

    fn parts(&self, _model: &Vit) -> Vec<(String, TensorData)> {
        Vec::new()
    }
}
