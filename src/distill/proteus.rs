use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Tensor, TensorData};
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use super::projection::{new_projections, projection_parts};
use super::{LossInputs, Method, Teacher, as_constant, check_weight, image_rng, mse};
use crate::error::{Error, Result};
use crate::train::{Loss, Ratio, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Proteus`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProteusSettings {
    /// Weight of the class token.
    pub token_weight: f64,
    /// Weight of class token and patches together.
    pub feature_weight: f64,
    /// Weight of the masked patches.
    pub patch_weight: f64,
    /// Share of the images that are also seen masked.
    pub masked_images: f64,
    /// Share of the patches of such an image that are masked.
    pub mask_ratio: f64,
}

impl Default for ProteusSettings {
    /// Those of the published runs.
    fn default() -> Self {
        Self {
            token_weight: 1.0,
            feature_weight: 1.0,
            patch_weight: 1.0,
            masked_images: 0.5,
            mask_ratio: 0.5,
        }
    }
}

impl ProteusSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::ProteusSettings::default().with(|s| s.mask_ratio = 0.75);
    /// assert_eq!((settings.mask_ratio, settings.masked_images), (0.75, 0.5));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self) -> Result<()> {
        check_weight("proteus.token_weight", self.token_weight)?;
        check_weight("proteus.feature_weight", self.feature_weight)?;
        check_weight("proteus.patch_weight", self.patch_weight)?;
        let shares = [
            ("proteus.masked_images", self.masked_images),
            ("proteus.mask_ratio", self.mask_ratio),
        ];
        match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((name, share)) => Err(Error::setting(name, share, "it is a share, 0 to 1")),
            None => Ok(()),
        }
    }
}

/// Proteus (Zhang et al. 2024, arXiv 2407.10366): the mean squared difference from the
/// teacher's tokens after its final norm, without labels, in three terms with a head each: the
/// class token; class token and patches; and the patches that the student did not see, in a
/// second pass over a share of the images, of whose patches some are replaced by a mask token.
///
/// Register tokens are left out. A model without a class token has no term of it.
#[derive(Debug)]
pub struct Proteus {
    teacher: Teacher,
    student_layers: [usize; 1],
    patches: usize,
    settings: ProteusSettings,
    seed: u64,
}

/// What [`Proteus`] trains.
#[derive(Module, Debug)]
pub struct ProteusModel {
    /// The student.
    pub student: Vit,
    /// Of the class token.
    pub token: Head,
    /// Of the patches.
    pub feature: Head,
    /// Of the masked patches.
    pub patch: Head,
    /// What masked patches are replaced by, `[1, 1, D_S]`; zeros at the start.
    pub mask_token: Param<Tensor<3>>,
}

/// LayerNorm and a projection with bias from the student's width to the teacher's.
#[derive(Module, Debug)]
pub struct Head {
    /// With PyTorch's epsilon.
    pub norm: LayerNorm,
    /// Student width to teacher width.
    pub linear: Linear,
}

impl Head {
    fn new(linear: Linear) -> Self {
        let weight = linear.weight.val();
        let config = LayerNormConfig::new(weight.dims()[0]).with_epsilon(1e-5);
        Self { norm: config.init(&weight.device()), linear }
    }

    /// `[B, T, D_S] -> [B, T, D]`.
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.linear.forward(self.norm.forward(tokens))
    }
}

impl Proteus {
    /// `grid` is the number of patches along height and width, `seed` that of the heads and of
    /// the masks.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot work.
    pub fn new(
        teacher: Teacher,
        student: Vit,
        grid: [usize; 2],
        settings: ProteusSettings,
        seed: u64,
    ) -> Result<(Self, ProteusModel)> {
        settings.check()?;
        let heads = new_projections(3, &student, teacher.vit(), seed).into_iter().map(Head::new);
        let [token, feature, patch] =
            <[Head; 3]>::try_from(heads.collect::<Vec<_>>()).expect("three heads");
        let mask_token = Tensor::zeros([1, 1, student.embed_dim()], &student.device());
        let mask_token = Param::from_tensor(mask_token);
        let (student_layers, patches) = ([student.depth() - 1], grid.iter().product());
        let model = ProteusModel { student, token, feature, patch, mask_token };
        Ok((Self { teacher, student_layers, patches, settings, seed }, model))
    }

    /// Whether the image at a place in its batch is seen masked too: of any number of images
    /// from the first on, the share of the settings.
    fn is_masked(&self, place: usize) -> bool {
        let before = |place: usize| (place as f64 * self.settings.masked_images).floor();
        before(place + 1) > before(place)
    }

    /// Masked patches of a masked image.
    fn masked_patches(&self) -> usize {
        (self.patches as f64 * self.settings.mask_ratio) as usize
    }

    /// The images of `images` from place `first` on in batch `step` that are seen masked too,
    /// counted from the first of these, and for them 1 for every masked patch: `[N, P, 1]`. A
    /// mask depends on the seed, the step and the image's place alone.
    pub fn masks(&self, images: usize, step: usize, first: usize) -> (Vec<usize>, TensorData) {
        let masked: Vec<usize> =
            (0..images).filter(|image| self.is_masked(first + image)).collect();
        let mut mask = vec![0.0_f32; masked.len() * self.patches];
        for (image, mask) in masked.iter().zip(mask.chunks_exact_mut(self.patches.max(1))) {
            let mut rng = image_rng([self.seed, step as u64, (first + image) as u64, 0]);
            let chosen = sample(&mut rng, self.patches, self.masked_patches());
            chosen.into_iter().for_each(|patch| mask[patch] = 1.0);
        }
        let shape = [masked.len(), self.patches, 1];
        (masked, TensorData::new(mask, shape))
    }

    /// The loss with given masks, as [`masks`](Self::masks) draws them.
    pub fn loss_with_masks(
        &self,
        model: &ProteusModel,
        inputs: LossInputs<'_>,
        (masked, mask): (Vec<usize>, TensorData),
    ) -> Loss {
        let (teacher, device) = (self.teacher.vit(), model.student.device());
        let (prefix, patches) = (teacher.prefix_tokens(), self.patches);
        let last = [teacher.depth() - 1];
        let wanted = self.teacher.tokens(inputs.images.clone(), &last).pop().expect("one layer");
        let wanted = as_constant(teacher.final_norm(wanted), &device);
        let ours = inputs.tokens.into_iter().next().expect("the last block's tokens");
        let ProteusSettings { token_weight, feature_weight, patch_weight, .. } = self.settings;

        let wanted_patches = wanted.clone().narrow(1, prefix, patches);
        let made = model.feature.forward(ours.clone().narrow(1, prefix, patches));
        let mut terms = Vec::with_capacity(3);
        let features = match &model.student.cls_token {
            Some(_) => {
                let class = wanted.narrow(1, 0, 1);
                let made_class = model.token.forward(ours.narrow(1, 0, 1));
                let distance = mse(made_class.clone(), class.clone());
                terms.push(Term::mean("token", token_weight, distance));
                let made = Tensor::cat(vec![made_class, made], 1);
                mse(made, Tensor::cat(vec![class, wanted_patches.clone()], 1))
            }
            None => mse(made, wanted_patches.clone()),
        };
        terms.push(Term::mean("feature", feature_weight, features));

        let hidden = match masked.is_empty() {
            true => Ratio { sum: Tensor::zeros([1], &device), count: Tensor::zeros([1], &device) },
            false => {
                let rows = TensorData::from(
                    masked.iter().map(|&image| image as i32).collect::<Vec<_>>().as_slice(),
                );
                let images = inputs
                    .images
                    .select(0, Tensor::from_data(rows.clone(), &device.clone().inner()));
                let wanted = wanted_patches.select(0, Tensor::from_data(rows, &device));
                let mask = Tensor::<3>::from_data(mask, &device);
                let made = self.see_masked(model, as_constant(images, &device), mask.clone());
                let [_, _, dim] = made.dims();
                let distance = (made - wanted).square() * mask.clone();
                Ratio { sum: distance.sum(), count: mask.sum() * dim as f64 }
            }
        };
        terms.push(Term::ratios("patch", patch_weight, vec![hidden]));
        Loss { terms, ..Loss::default() }
    }

    /// The teacher's patches as made from images in part masked: `[N, 3, H, W]` and
    /// `[N, P, 1]` to `[N, P, D]`.
    fn see_masked(&self, model: &ProteusModel, images: Tensor<4>, mask: Tensor<3>) -> Tensor<3> {
        let student = &model.student;
        let embedded = student.embed_changed(images, |patches| {
            let shape = patches.dims();
            let masked = mask.equal_elem(1.0).expand(shape);
            patches.mask_where(masked, model.mask_token.val().expand(shape))
        });
        let tokens = student.forward_blocks(embedded, 0..student.depth());
        model.patch.forward(tokens.narrow(1, student.prefix_tokens(), self.patches))
    }
}

impl Method for Proteus {
    type Model = ProteusModel;

    fn student<'a>(&self, model: &'a ProteusModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &ProteusModel, inputs: LossInputs<'_>) -> Loss {
        let masks = self.masks(inputs.labels.len(), inputs.step, inputs.first);
        self.loss_with_masks(model, inputs, masks)
    }

    /// How many patches are masked is known beforehand.
    fn counts(&self, model: &ProteusModel, shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        let images = shard.first..shard.first + shard.labels.len();
        let masked = images.filter(|&place| self.is_masked(place)).count();
        let values = masked * self.masked_patches() * self.teacher.vit().embed_dim();
        let device = model.student.device().inner();
        Some(vec![Tensor::from_data([values as f32], &device)])
    }

    fn parts(&self, model: &ProteusModel) -> Vec<(String, TensorData)> {
        let last = self.teacher.vit().depth() - 1;
        let heads = [("token", &model.token), ("feature", &model.feature), ("patch", &model.patch)];
        let mut parts = vec![("mask_token".to_owned(), model.mask_token.val().into_data())];
        for (name, Head { norm, linear }) in heads {
            parts.extend(projection_parts(name, last, linear));
            parts.push((format!("{name}.{last}.norm.weight"), norm.gamma.val().into_data()));
            if let Some(beta) = &norm.beta {
                parts.push((format!("{name}.{last}.norm.bias"), beta.val().into_data()));
            }
        }
        parts
    }
}
