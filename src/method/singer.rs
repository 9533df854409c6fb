use burn::tensor::{Tensor, TensorData};

use super::{Lesson, Method, projection_parts};
use crate::distill::{Distiller, Trainee};
use crate::train::{Part, TaskLoss};
use crate::vit::Vit;
use crate::weights::adapter_part;

/// SiNGER (Yu, Jeong et al., ICLR 2026, arXiv 2509.20986): the teacher's features
/// are refined by adapters in the next block's left nullspace.
#[derive(Debug)]
pub struct Singer {
    /// The frozen side.
    pub distiller: Distiller,
}

impl Method for Singer {
    type Model = Trainee;

    fn student<'a>(&self, model: &'a Trainee) -> &'a Vit {
        &model.student
    }

    fn student_layers(&self) -> &[usize] {
        self.distiller.student_layers()
    }

    fn loss(&self, model: &Trainee, lesson: Lesson<'_>, part: &Part<'_>) -> TaskLoss {
        let pass = self.distiller.teacher_pass(lesson.images);
        let losses = self.distiller.losses_of_tokens(model, lesson.tokens, pass);
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

    fn parts(&self, model: &Trainee) -> Vec<(String, TensorData)> {
        let layers = self.distiller.layers().iter();
        let trained = layers.zip(&model.adapters).zip(&model.projections);
        let mut parts = Vec::new();
        for ((layer, adapter), projection) in trained {
            parts.push((adapter_part(*layer, "down"), adapter.down.val().into_data()));
            parts.push((adapter_part(*layer, "up"), adapter.up.val().into_data()));
            parts.extend(projection_parts("proj", *layer, projection));
        }
        parts
    }
}
