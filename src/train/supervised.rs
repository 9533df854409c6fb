use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Loss, Observation, Shard, Task, Term};
use crate::vit::Vit;

/// Mean cross-entropy of logits `[B, C]` with class numbers, of which the share
/// `smoothing` of the probability is spread over all classes: `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: &[usize], smoothing: f64) -> Tensor<1> {
    let [count, classes] = logits.dims();
    let target = class_numbers(labels, &logits.device()).one_hot::<2>(classes).float();
    let target = target * (1.0 - smoothing) + smoothing / classes as f64;
    -(log_softmax(logits, 1) * target).sum() / count as f64
}

/// Share of images whose class has the largest logit: `[B, C]` to `[1]`.
pub fn top1_accuracy(logits: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let device = logits.device();
    let best = logits.argmax(1).squeeze_dim::<1>(1);
    best.equal(class_numbers(labels, &device)).float().mean()
}

fn class_numbers(labels: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [labels.len()]), device)
}

/// Weighted cross-entropy of logits `[B, C]` in the training graph, recorded with the
/// top-1 accuracy.
pub(crate) fn label_loss(
    name: &'static str,
    weight: f64,
    logits: Tensor<2>,
    labels: &[usize],
    smoothing: f64,
) -> Loss {
    let means = top1_accuracy(logits.clone().inner(), labels);
    Loss {
        terms: vec![Term::mean(name, weight, cross_entropy(logits, labels, smoothing))],
        observations: vec![Observation { name: "accuracy", means }],
        remembered: None,
        recompute: None,
    }
}

/// Supervised training with cross-entropy.
#[derive(Debug)]
pub struct Pretraining {
    /// Probability mass spread over all classes.
    pub label_smoothing: f64,
}

impl Task for Pretraining {
    type Model = Vit;

    fn loss(&self, model: &Vit, shard: Shard<'_>) -> Loss {
        let (logits, recompute) = match shard.recompute {
            false => (model.forward(Tensor::from_inner(shard.images)), None),
            true => {
                let last = [model.depth() - 1];
                let (mut tokens, recompute) = model.intermediate_recomputed(shard.images, &last);
                (model.logits(tokens.remove(0)), Some(recompute))
            }
        };
        let loss = label_loss("ce", 1.0, logits, shard.labels, self.label_smoothing);
        Loss { recompute, ..loss }
    }

    fn counts(&self, _model: &Vit, _shard: Shard<'_>) -> Vec<Tensor<1>> {
        Vec::new()
    }
}
