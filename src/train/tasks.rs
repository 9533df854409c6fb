use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::{Task, TaskLoss};
use crate::distill::{Distiller, Trainee};
use crate::refine::patch_norms;
use crate::vit::Vit;

/// SiNGER's distillation.
pub struct DistillTask {
    /// The frozen side.
    pub distiller: Distiller,
}

impl Task for DistillTask {
    type Model = Trainee;

    fn loss(&self, model: &Trainee, images: Tensor<4>, _labels: &[usize]) -> TaskLoss {
        let pass = self.distiller.teacher_pass(images.clone());
        let losses = self.distiller.losses(model, images, pass);
        let refined = losses.views.iter().map(|view| view.refined.clone().inner());
        let prefix = self.distiller.teacher().prefix_tokens();
        let norm = refined.map(|tokens| patch_norms(tokens, prefix).max().reshape([1]));
        let norm = norm.reduce(Tensor::max_pair);
        let outlier = losses.outlier_sum();
        let [kd, outlier, info] = self.distiller.weigh(losses.kd, outlier, losses.info);
        let terms = vec![
            ("kd", kd.clone().inner()),
            ("outlier", outlier.clone().inner()),
            ("info", info.clone().inner()),
        ];
        let extra = norm.map(|norm| ("refined_norm_max", norm)).into_iter().collect();
        TaskLoss { total: kd + outlier + info, terms, extra }
    }
}

/// Supervised training with cross-entropy.
pub struct PretrainTask {
    /// Probability mass spread over all classes.
    pub label_smoothing: f64,
}

impl Task for PretrainTask {
    type Model = Vit;

    fn loss(&self, model: &Vit, images: Tensor<4>, labels: &[usize]) -> TaskLoss {
        let device = images.device();
        let images = Tensor::from_inner(images);
        let scores = log_softmax(model.forward(images), 1);
        let [count, classes] = scores.dims();
        let index: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(index, [count]), &device);
        let best = scores.clone().inner().argmax(1).squeeze_dim::<1>(1);
        let accuracy = best.equal(labels.clone()).float().mean();
        let target = labels.one_hot::<2>(classes).float();
        let smooth = self.label_smoothing;
        let target = target * (1.0 - smooth) + smooth / classes as f64;
        let loss = -(scores * Tensor::from_inner(target)).sum() / count as f64;
        TaskLoss {
            terms: vec![("ce", loss.clone().inner())],
            extra: vec![("accuracy", accuracy)],
            total: loss,
        }
    }
}
