use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::kd::kl_of_rows;
use super::projection::{new_projections, projection_parts};
use super::{LossInputs, Method, Teacher, as_constant, check_weight};
use crate::error::{Error, Result};
use crate::tokens::unit_length;
use crate::train::{Loss, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Relational`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RelationalSettings {
    /// Weight of the relations between images.
    pub weight: f64,
    /// Weight of the relations between an image's patches.
    pub local_weight: f64,
    /// Divides the cosines before the softmax.
    pub temperature: f64,
    /// Past images that a batch is compared with; by default as many as [`queue_size`] says.
    pub queue: Option<usize>,
}

impl Default for RelationalSettings {
    /// LightlyTrain's: both weights 1, temperature 0.07, a queue by the size of the data set.
    fn default() -> Self {
        Self { weight: 1.0, local_weight: 1.0, temperature: 0.07, queue: None }
    }
}

impl RelationalSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::RelationalSettings::default().with(|s| s.queue = Some(64));
    /// assert_eq!((settings.queue, settings.temperature), (Some(64), 0.07));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self) -> Result<()> {
        check_weight("relational.weight", self.weight)?;
        check_weight("relational.local_weight", self.local_weight)?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let expected = "it must be above 0";
            return Err(Error::setting("relational.temperature", self.temperature, expected));
        }
        match self.queue {
            Some(0) => Err(Error::setting("relational.queue", 0, "it must be 1 or more")),
            _ => Ok(()),
        }
    }
}

/// The length of the queue for a data set of `images` images, as LightlyTrain has it: a quarter
/// to a half of them, 8192 at most; so too where their number is not known.
pub fn queue_size(images: Option<usize>) -> usize {
    const SIZES: [(usize, usize); 9] = [
        (50, 16),
        (100, 32),
        (250, 64),
        (500, 128),
        (1_000, 256),
        (2_000, 512),
        (4_000, 1_024),
        (10_000, 2_048),
        (20_000, 4_096),
    ];
    let fits = |&&(below, _): &&(usize, usize)| images.is_some_and(|images| images < below);
    SIZES.iter().find(fits).map_or(8_192, |&(_, size)| size)
}

/// Distillation of relations, as LightlyTrain has done it by default since version 0.15
/// ("distillationv3"): how similar an image is to others, and its patches to one another, not
/// what the features are. All features are scaled to unit length, the teacher's after its final
/// norm; two linear heads bring the student's last block to the teacher's width.
///
/// - Between images: `KL(softmax(t̂ Kᵀ / τ) ‖ softmax(ŝ Kᵀ / τ))` of global features (class
///   token, else the mean patch). The keys K are the teacher's feature of the image itself and
///   those of the last images before this batch: a first-in, first-out queue, zeros at the start.
/// - Between patches: the same of the rows of `t̂ t̂ᵀ` and `ŝ ŝᵀ`, mean over rows.
///
/// LightlyTrain's keys are the whole batch and the queue. Here the other images of a batch come
/// in with the next one, so that the loss of an image does not depend on how a batch is split;
/// and images are not mixed up, as no method's are.
#[derive(Debug)]
pub struct Relational {
    teacher: Teacher,
    student_layers: [usize; 1],
    settings: RelationalSettings,
}

/// What [`Relational`] trains, and its queue.
#[derive(Module, Debug)]
pub struct RelationalModel {
    /// The student.
    pub student: Vit,
    /// Global features: student width to teacher width, with bias.
    pub global: Linear,
    /// Patches: student width to teacher width, with bias.
    pub local: Linear,
    /// The teacher's global features of past images, newest batch first, unit length: `[Q, D]`,
    /// without a gradient.
    pub queue: Param<Tensor<2>>,
}

impl Relational {
    /// `images` is the number of images of the data set, where it is known; `seed` that of the
    /// heads.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot work.
    pub fn new(
        teacher: Teacher,
        student: Vit,
        images: Option<usize>,
        settings: RelationalSettings,
        seed: u64,
    ) -> Result<(Self, RelationalModel)> {
        settings.check()?;
        let mut heads = new_projections(2, &student, teacher.vit(), seed).into_iter();
        let (global, local) = heads.next().zip(heads.next()).expect("two heads were asked for");
        let size = settings.queue.unwrap_or_else(|| queue_size(images));
        let queue = Tensor::zeros([size, teacher.vit().embed_dim()], &student.device());
        let queue = Param::from_tensor(queue).no_grad();
        let student_layers = [student.depth() - 1];
        let model = RelationalModel { student, global, local, queue };
        Ok((Self { teacher, student_layers, settings }, model))
    }

    /// The mean divergence of images from the teacher's similarity to `keys`: unit rows `[B, D]`
    /// twice and `[Q, D]` to `[1]`. The teacher's own rows are keys too, each of its image alone.
    fn between_images(&self, student: Tensor<2>, teacher: Tensor<2>, keys: Tensor<2>) -> Tensor<1> {
        let keys = keys.transpose();
        let cosines = |rows: Tensor<2>| {
            let own = (rows.clone() * teacher.clone()).sum_dim(1);
            Tensor::cat(vec![own, rows.matmul(keys.clone())], 1) / self.settings.temperature
        };
        kl_of_rows(cosines(student), cosines(teacher.clone()))
    }

    /// The mean divergence of patches from the teacher's similarity to one another: unit tokens
    /// `[B, P, D]` twice to `[1]`.
    fn between_patches(&self, student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
        let [_, patches, _] = teacher.dims();
        let cosines = |tokens: Tensor<3>| {
            let gram = tokens.clone().matmul(tokens.transpose());
            gram.reshape([-1, patches as i32]) / self.settings.temperature
        };
        kl_of_rows(cosines(student), cosines(teacher))
    }
}

impl Method for Relational {
    type Model = RelationalModel;

    fn student<'a>(&self, model: &'a RelationalModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &RelationalModel, inputs: LossInputs<'_>) -> Loss {
        let teacher = self.teacher.vit();
        let device: Device = model.student.device();
        let last = [teacher.depth() - 1];
        let wanted = self.teacher.tokens(inputs.images, &last).pop().expect("one layer");
        let (global, patches) = global_and_patches(teacher, teacher.final_norm(wanted));
        let (global, patches) = (unit_length(global), unit_length(patches));
        let rows = global.clone();
        let [global, patches] =
            [global.unsqueeze_dim::<3>(1), patches].map(|wanted| as_constant(wanted, &device));

        let ours = inputs.tokens.into_iter().next().expect("the last block's tokens");
        let (our_global, our_patches) = global_and_patches(&model.student, ours);
        let our_global = unit_length(model.global.forward(our_global));
        let our_patches = unit_length(model.local.forward(our_patches));
        let images = self.between_images(our_global, global.squeeze_dim(1), model.queue.val());
        let patches = self.between_patches(our_patches, patches);
        let RelationalSettings { weight, local_weight, .. } = self.settings;
        Loss {
            terms: vec![
                Term::mean("images", weight, images),
                Term::mean("patches", local_weight, patches),
            ],
            remembered: Some(rows),
            ..Loss::default()
        }
    }

    fn counts(&self, _model: &RelationalModel, _shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        Some(Vec::new())
    }

    fn remember(&self, mut model: RelationalModel, rows: Tensor<2>) -> RelationalModel {
        model.queue = model.queue.map(|past| {
            let size = past.dims()[0];
            let rows = as_constant(rows, &past.device());
            Tensor::cat(vec![rows, past], 0).narrow(0, 0, size)
        });
        model
    }

    fn parts(&self, model: &RelationalModel) -> Vec<(String, TensorData)> {
        let last = self.teacher.vit().depth() - 1;
        let mut parts = projection_parts("proj", last, &model.local);
        parts.extend(projection_parts("global", last, &model.global));
        parts
    }
}

/// The class token of a model's tokens `[B, T, D]`, or the mean patch where it has none,
/// `[B, D]`; and the patches, `[B, P, D]`.
fn global_and_patches(vit: &Vit, tokens: Tensor<3>) -> (Tensor<2>, Tensor<3>) {
    let (prefix, all) = (vit.prefix_tokens(), tokens.dims()[1]);
    let patches = tokens.clone().narrow(1, prefix, all - prefix);
    let global = vit.class_token(&tokens);
    let global = global.unwrap_or_else(|| patches.clone().mean_dim(1).squeeze_dim(1));
    (global, patches)
}
