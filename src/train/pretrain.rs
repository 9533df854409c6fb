use burn::tensor::Tensor;

use super::{Part, Task, TaskLoss};
use crate::loss::{cross_entropy, hit_rate};
use crate::vit::Vit;

/// Supervised training with cross-entropy.
pub struct PretrainTask {
    /// Probability mass spread over all classes.
    pub label_smoothing: f64,
}

impl Task for PretrainTask {
    type Model = Vit;

    fn loss(&self, model: &Vit, images: Tensor<4>, labels: &[usize], part: &Part<'_>) -> TaskLoss {
        let logits = model.forward(Tensor::from_inner(images));
        let accuracy = hit_rate(logits.clone().inner(), labels) * part.fraction;
        let loss = cross_entropy(logits, labels, self.label_smoothing) * part.fraction;
        TaskLoss {
            terms: vec![("ce", loss.clone().inner())],
            extra: vec![("accuracy", accuracy)],
            total: loss,
        }
    }
}
