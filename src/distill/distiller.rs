use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::{LossForm, Settings, Trainee, map_layers};
use crate::error::{Error, Result};
use crate::loss::{OutlierTerm, gram_mse, mse, outlier};
use crate::nullspace::reader_of;
use crate::refine::Adapter;
use crate::vit::{Block, Vit};

/// The frozen side of distillation: the teacher, the layers, and the losses.
#[derive(Debug)]
pub struct Distiller {
    teacher: Vit,
    /// The block after each layer, as constants of the training graph; none
    /// after the last one.
    next_blocks: Vec<Option<Block>>,
    layers: Vec<usize>,
    student_layers: Vec<usize>,
    settings: Settings,
}

/// What the losses need of the teacher for one batch.
#[derive(Debug, Clone)]
pub struct TeacherPass {
    /// Tokens leaving each distilled layer, `[B, T, D]`.
    pub features: Vec<Tensor<3>>,
    /// Tokens leaving the block after it; none for the last layer.
    pub next: Vec<Option<Tensor<3>>>,
}

impl TeacherPass {
    /// What its tokens take, f32.
    pub fn bytes(&self) -> usize {
        let next = self.next.iter().flatten();
        self.features.iter().chain(next).map(|tokens| 4 * tokens.shape().num_elements()).sum()
    }
}

/// What became of one layer in a forward pass; for reports and tests.
#[derive(Debug, Clone)]
pub struct LayerView {
    /// Refined teacher tokens, `[B, T, D]`.
    pub refined: Tensor<3>,
    /// The mapped student layer's tokens, `[B, T, D_S]`.
    pub student: Tensor<3>,
    /// Those projected to the teacher's width, `[B, T, D]`.
    pub projected: Tensor<3>,
    /// The next block's output on the refined tokens; none for the last layer.
    pub next_refined: Option<Tensor<3>>,
    /// The outlier threshold of each image, `[B, 1]`.
    pub threshold: Tensor<2>,
}

/// One layer's refined tokens and the losses that judge them alone.
#[derive(Debug)]
pub struct RefinementLosses {
    /// Refined teacher tokens, `[B, T, D]`.
    pub refined: Tensor<3>,
    /// The next block's output on them; none for the last layer.
    pub next_refined: Option<Tensor<3>>,
    /// The outlier loss.
    pub outlier: OutlierTerm,
    /// The information loss in the configured form, `[1]`.
    pub info: Tensor<1>,
}

/// The losses of a batch, unweighted sums over layers.
#[derive(Debug)]
pub struct Losses {
    /// `Σ_l mse(P_l(F_S), F̂_l)`, `[1]`.
    pub kd: Tensor<1>,
    /// One outlier term for each layer.
    pub outlier: Vec<OutlierTerm>,
    /// The information loss in the configured form, `[1]`.
    pub info: Tensor<1>,
    /// Every layer's tensors.
    pub views: Vec<LayerView>,
}

impl Distiller {
    /// Prepares distillation into a student of `student_depth` blocks on
    /// `device` (an autodiff device for training). `teacher` stays on its own,
    /// without autodiff.
    ///
    /// # Errors
    /// [`Error::Config`] where settings and models do not fit; see
    /// [`Settings::resolve_layers`] and [`map_layers`].
    pub fn new(
        teacher: Vit,
        student_depth: usize,
        settings: Settings,
        device: &Device,
    ) -> Result<Self> {
        let depth = teacher.depth();
        let layers = settings.resolve_layers(depth)?;
        let student_layers = map_layers(&layers, depth, student_depth)?;
        let next_blocks = layers
            .iter()
            .map(|&layer| {
                let reader = reader_of(layer, depth);
                (reader > layer).then(|| teacher.blocks[reader].clone().fork(device).freeze())
            })
            .collect();
        Ok(Self { teacher, next_blocks, layers, student_layers, settings })
    }

    /// Runs the teacher in `dtype`; its features stay f32 for the losses.
    pub fn with_teacher_precision(mut self, dtype: FloatDType) -> Self {
        self.teacher = super::precision::cast(self.teacher, dtype);
        self
    }

    /// The teacher's distilled layers, ascending.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The student layer that learns from each of [`layers`](Self::layers).
    pub fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The teacher.
    pub fn teacher(&self) -> &Vit {
        &self.teacher
    }

    /// The teacher's forward pass without autodiff, up to the last block
    /// needed: `[B, 3, H, W]` in. The next block's output on unrefined features
    /// is a by-product, not computed again.
    pub fn teacher_pass(&self, image: Tensor<4>) -> TeacherPass {
        let wanted: Vec<usize> = self
            .layers
            .iter()
            .flat_map(|&layer| [layer, reader_of(layer, self.teacher.depth())])
            .collect();
        let dtype = self.teacher.dtype();
        let tokens = self.teacher.intermediate(image.cast(dtype), &wanted);
        let mut pairs = tokens.into_iter().map(|tokens| tokens.cast(FloatDType::F32));
        let mut pass = TeacherPass { features: Vec::new(), next: Vec::new() };
        for next_block in &self.next_blocks {
            pass.features.extend(pairs.next());
            let next = pairs.next();
            pass.next.push(next_block.as_ref().and(next));
        }
        pass
    }

    /// The losses of a batch. `image` is `[B, 3, H, W]` on the plain device,
    /// `pass` the teacher's of the same images.
    pub fn losses(&self, trainee: &Trainee, image: Tensor<4>, pass: TeacherPass) -> Losses {
        let image = onto(image, &trainee.student.device());
        let student = trainee.student.intermediate(image, &self.student_layers);
        self.losses_of_tokens(trainee, student, pass)
    }

    /// The losses of a batch whose tokens leaving
    /// [`student_layers`](Self::student_layers) are known, `[B, T, D_S]` each.
    pub fn losses_of_tokens(
        &self,
        trainee: &Trainee,
        student: Vec<Tensor<3>>,
        pass: TeacherPass,
    ) -> Losses {
        let device = trainee.student.device();
        let mut kd = Tensor::zeros([1], &device);
        let mut info = Tensor::zeros([1], &device);
        let mut outliers = Vec::new();
        let mut views: Vec<LayerView> = Vec::new();
        let layers = self.refinements(&trainee.adapters, pass).into_iter().zip(student);
        for (index, (layer, student)) in layers.enumerate() {
            let RefinementLosses { refined, next_refined, outlier: term, info: of_layer } = layer;
            let projected = trainee.projections[index].forward(student.clone());
            kd = kd + mse(projected.clone(), refined.clone());
            info = info + of_layer;
            let threshold = term.threshold.clone();
            outliers.push(term);
            views.push(LayerView { refined, student, projected, next_refined, threshold });
        }
        Losses { kd, outlier: outliers, info, views }
    }

    /// What the adapters, one for each of [`layers`](Self::layers), make of the
    /// teacher's tokens, and their outlier and information losses.
    pub fn refinements(&self, adapters: &[Adapter], pass: TeacherPass) -> Vec<RefinementLosses> {
        let mut refined: Vec<RefinementLosses> = Vec::with_capacity(adapters.len());
        let layers = pass.features.into_iter().zip(pass.next).zip(adapters);
        for (index, ((features, next), adapter)) in layers.enumerate() {
            let device = adapter.down.device();
            let features = onto(features, &device);
            let next = next.map(|next| onto(next, &device));
            let before = refined.last().map(|before| before.refined.clone());
            refined.push(self.refinement_losses(index, adapter, features, next, before));
        }
        refined
    }

    /// `features` and `next` are the tokens leaving the layer at place `index` and
    /// the block after it, `before` the refined tokens of the layer before, which
    /// the reference form compares the last layer with: all `[B, T, D]` on the
    /// adapter's device.
    fn refinement_losses(
        &self,
        index: usize,
        adapter: &Adapter,
        features: Tensor<3>,
        next: Option<Tensor<3>>,
        before: Option<Tensor<3>>,
    ) -> RefinementLosses {
        let prefix = self.teacher.prefix_tokens();
        let refined = adapter.forward(features.clone(), prefix);
        let outlier = outlier(refined.clone(), prefix, self.settings.quantile);
        let next_refined =
            self.next_blocks[index].as_ref().map(|block| block.forward(refined.clone()));
        let info = match (self.settings.losses, &next_refined, next, before) {
            (LossForm::Paper, Some(ours), Some(next), _) => gram_mse(ours.clone(), next, prefix),
            (LossForm::Reference, Some(ours), Some(next), _) => mse(ours.clone(), next),
            // `resolve_layers` has made sure of an intermediate layer before.
            (LossForm::Reference, .., Some(before)) => gram_mse(refined.clone(), before, prefix),
            _ => gram_mse(refined.clone(), features, prefix),
        };
        RefinementLosses { refined, next_refined, outlier, info }
    }

    /// Weighted loss terms divided by the number of layers (as the reference
    /// does), in the order KD, outlier, information: `[1]` each. Their sum is
    /// what is minimised.
    pub fn weigh(&self, kd: Tensor<1>, outlier: Tensor<1>, info: Tensor<1>) -> [Tensor<1>; 3] {
        let weights = self.settings.weights;
        let share = 1.0 / self.layers.len() as f64;
        [
            kd * (weights.kd * share),
            outlier * (weights.outlier * share),
            info * (weights.info * share),
        ]
    }

    /// Rejects a student whose tokens do not match the teacher's one by one.
    ///
    /// # Errors
    /// [`Error::Config`] with both counts.
    pub fn check_tokens(teacher: (usize, usize), student: (usize, usize)) -> Result<()> {
        if teacher == student {
            return Ok(());
        }
        Err(Error::config(format!(
            "the teacher has {} prefix and {} patch tokens, the student {} and {}: give both the same \
             img_size over patch_size, reg_tokens and class token",
            teacher.0, teacher.1, student.0, student.1
        )))
    }
}

impl Losses {
    /// The outlier loss summed over layers, `[1]`.
    pub fn outlier_sum(&self) -> Tensor<1> {
        let means = self.outlier.iter().cloned().map(OutlierTerm::mean);
        means.reduce(|a, b| a + b).expect("there is at least one layer")
    }
}

/// A constant of the graph of `device`, which holds the same memory.
pub(crate) fn onto<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}
