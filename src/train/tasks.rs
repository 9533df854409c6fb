use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::{Part, Task, TaskLoss};
use crate::distill::{Distiller, Trainee};
use crate::vit::Vit;

/// SiNGER's distillation.
pub struct DistillTask {
    /// The frozen side.
    pub distiller: Distiller,
}

impl Task for DistillTask {
    type Model = Trainee;

    fn loss(
        &self,
        model: &Trainee,
        images: Tensor<4>,
        _labels: &[usize],
        part: &Part<'_>,
    ) -> TaskLoss {
        let pass = self.distiller.teacher_pass(images.clone());
        let losses = self.distiller.losses(model, images, pass);
        let norms = losses.outlier.iter().map(|term| term.norms.clone().inner());
        let largest = norms.map(|norms| norms.max_dim(1).mean());
        let largest = largest.reduce(Tensor::max_pair).map(|norm| norm * part.fraction);

        let kd = losses.kd * part.fraction;
        let info = losses.info * part.fraction;
        // The mean is over the whole batch's outliers, wherever they are.
        let outliers =
            losses.outlier.into_iter().map(|term| term.sum / part.total(term.count).clamp_min(1.0));
        let outlier = outliers.reduce(|a, b| a + b).expect("there is at least one layer");
        let [kd, outlier, info] = self.distiller.weigh(kd, outlier, info);
        let terms = vec![
            ("kd", kd.clone().inner()),
            ("outlier", outlier.clone().inner()),
            ("info", info.clone().inner()),
        ];
        let extra = largest.map(|norm| ("refined_norm_max", norm)).into_iter().collect();
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

    fn loss(&self, model: &Vit, images: Tensor<4>, labels: &[usize], part: &Part<'_>) -> TaskLoss {
        let device = images.device();
        let images = Tensor::from_inner(images);
        let scores = log_softmax(model.forward(images), 1);
        let [count, classes] = scores.dims();
        let index: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(index, [count]), &device);
        let best = scores.clone().inner().argmax(1).squeeze_dim::<1>(1);
        let accuracy = best.equal(labels.clone()).float().mean() * part.fraction;
        let target = labels.one_hot::<2>(classes).float();
        let smooth = self.label_smoothing;
        let target = target * (1.0 - smooth) + smooth / classes as f64;
        let loss = -(scores * Tensor::from_inner(target)).sum() * (part.fraction / count as f64);
        TaskLoss {
            terms: vec![("ce", loss.clone().inner())],
            extra: vec![("accuracy", accuracy)],
            total: loss,
        }
    }
}
