use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::projection::{new_projections, projection_parts};
use super::{
    LossInputs, Mapping, Method, Teacher, as_constant, check_weight, image_rng, map_layers, mse,
    with_last_layer,
};
use crate::error::{Error, Result};
use crate::tokens::on_patches;
use crate::train::{Loss, Ratio, Shard, Term};
use crate::vit::Vit;

/// Settings of [`Vitkd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct VitkdSettings {
    /// Teacher blocks that are mimicked by plain feature MSE, from 0.
    pub mimic_layers: Vec<usize>,
    /// Weight of the mimicry.
    pub mimic_weight: f64,
    /// Weight of the generation.
    pub weight: f64,
    /// Probability that a token is masked.
    pub mask_ratio: f64,
}

impl Default for VitkdSettings {
    /// The published mask ratio 0.5, and the published weights 3e-5 of mimicry and
    /// 3e-6 of generation. Those are of sums over tokens and widths, the
    /// generation's divided by the mask ratio; on means that is 10 to 1.
    fn default() -> Self {
        Self { mimic_layers: vec![0, 2], mimic_weight: 10.0, weight: 1.0, mask_ratio: 0.5 }
    }
}

/// ViTKD (Yang et al. 2024, arXiv 2209.02432): the first layers are mimicked; from
/// each of the distilled layers, of whose projected tokens a random half is
/// replaced by a mask token, a generator makes the teacher's tokens, with the
/// mean squared difference on masked tokens as loss.
#[derive(Debug)]
pub struct Vitkd {
    teacher: Teacher,
    /// Generation's layers, then those of mimicry.
    teacher_layers: Vec<usize>,
    student_layers: Vec<usize>,
    generated: usize,
    grid: [usize; 2],
    settings: VitkdSettings,
    seed: u64,
}

/// What [`Vitkd`] trains.
#[derive(Module, Debug)]
pub struct VitkdModel {
    /// The student.
    pub student: Vit,
    /// Before each generator: student width to teacher width, with bias.
    pub projections: Vec<Linear>,
    /// One for each distilled layer.
    pub generators: Vec<Generator>,
    /// What masked tokens are replaced by, `[1, 1, D]`.
    pub mask_token: Param<Tensor<3>>,
    /// For each mimicked layer: student width to teacher width, with bias.
    pub mimics: Vec<Linear>,
}

/// 3x3 convolution, ReLU, 3x3 convolution on the grid of patches; other tokens
/// pass by.
#[derive(Module, Debug)]
pub struct Generator {
    /// The first convolution.
    pub conv1: Convolution,
    /// The second one.
    pub conv2: Convolution,
}

/// A 3x3 convolution that keeps the grid's size.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[D, D, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// `[D]`.
    pub bias: Param<Tensor<1>>,
}

impl Vitkd {
    /// `layers` are teacher blocks from 0 whose tokens are generated; the last one is always
    /// added. `grid` is the number of patches along height and width. As published
    /// (`trained_generator` false), the optimiser is not given the generators and the mask
    /// token, which stay at their random start. `seed` is that of the new parts and of the
    /// masks.
    ///
    /// # Errors
    /// As [`with_last_layer`] and [`map_layers`]; [`Error::Setting`] for settings that cannot
    /// work.
    #[expect(clippy::too_many_arguments, reason = "each is a different part of the method")]
    pub fn new(
        teacher: Teacher,
        student: Vit,
        layers: &[usize],
        mapping: Mapping,
        grid: [usize; 2],
        settings: VitkdSettings,
        trained_generator: bool,
        seed: u64,
    ) -> Result<(Self, VitkdModel)> {
        let (depth, student_depth) = (teacher.vit().depth(), student.depth());
        settings.check(depth, student_depth)?;
        let layers = with_last_layer(layers, depth)?;
        let mut student_layers = map_layers(&layers, depth, student_depth, mapping)?;
        let mimicking = map_layers(&settings.mimic_layers, depth, student_depth, mapping)?;
        student_layers.extend(mimicking);
        let generated = layers.len();
        let mimicked = settings.mimic_layers.len();

        let mut both = new_projections(generated + mimicked, &student, teacher.vit(), seed);
        let mimics = both.split_off(generated);
        let device = student.device();
        let dim = teacher.vit().embed_dim();
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x6765_6e65_7261_746f);
        let mut generators: Vec<Generator> =
            (0..generated).map(|_| Generator::new(dim, &mut rng, &device)).collect();
        let token: Vec<f32> = (0..dim)
            .map(|_| Distribution::<f32>::sample(&StandardNormal, &mut rng) * 0.02)
            .collect();
        let token = Tensor::from_data(TensorData::new(token, [1, 1, dim]), &device);
        let mut mask_token = Param::from_tensor(token);
        if !trained_generator {
            generators = generators.into_iter().map(Module::no_grad).collect();
            mask_token = mask_token.no_grad();
        }
        let model = VitkdModel { student, projections: both, generators, mask_token, mimics };
        let teacher_layers = layers.into_iter().chain(settings.mimic_layers.clone()).collect();
        let method =
            Self { teacher, teacher_layers, student_layers, generated, grid, settings, seed };
        Ok((method, model))
    }

    /// For each generated layer 1 for every masked token of `images` images of batch `step`
    /// from place `first` on, `[B, T, 1]`. An image's mask depends on the seed, the step, its
    /// place in the batch and the layer alone.
    pub fn masks(
        &self,
        [images, tokens]: [usize; 2],
        step: usize,
        first: usize,
    ) -> Vec<TensorData> {
        let of_layer = |&layer: &usize| {
            let mut mask = Vec::with_capacity(images * tokens);
            for place in first..first + images {
                let mut rng = image_rng([self.seed, step as u64, place as u64, layer as u64]);
                let draw = |_| f32::from(u8::from(rng.random_bool(self.settings.mask_ratio)));
                mask.extend((0..tokens).map(draw));
            }
            TensorData::new(mask, [images, tokens, 1])
        };
        self.teacher_layers[..self.generated].iter().map(of_layer).collect()
    }

    /// The loss with given masks, as [`masks`](Self::masks) draws them.
    pub fn loss_with_masks(
        &self,
        model: &VitkdModel,
        inputs: LossInputs<'_>,
        masks: Vec<TensorData>,
    ) -> Loss {
        let device = model.student.device();
        let features = self.teacher.tokens(inputs.images, &self.teacher_layers);
        let mut pairs = inputs.tokens.into_iter().zip(features);
        let mut generation = Vec::with_capacity(masks.len());
        for (index, mask) in masks.into_iter().enumerate() {
            let Some((ours, wanted)) = pairs.next() else { break };
            let mask = Tensor::<3>::from_data(mask, &device);
            let made = self.generate(model, index, ours, mask.clone());
            let [_, _, dim] = made.dims();
            let distance = (made - as_constant(wanted, &device)).square() * mask.clone();
            // The mean is over the masked tokens of the whole batch.
            let count = mask.sum() * dim as f64;
            generation.push(Ratio { sum: distance.sum(), count });
        }
        let zero = Tensor::<1>::zeros([1], &device);
        let mimicry = pairs.zip(&model.mimics).fold(zero, |sum, ((ours, wanted), mimic)| {
            sum + mse(mimic.forward(ours), as_constant(wanted, &device))
        });
        Loss {
            terms: vec![
                Term::ratios("generation", self.settings.weight, generation),
                Term::mean("mimicry", self.settings.mimic_weight, mimicry),
            ],
            ..Loss::default()
        }
    }

    /// The teacher's tokens as made from the student's: `[B, T, D_S]` and a mask
    /// `[B, T, 1]` to `[B, T, D]`.
    fn generate(
        &self,
        model: &VitkdModel,
        index: usize,
        ours: Tensor<3>,
        mask: Tensor<3>,
    ) -> Tensor<3> {
        let projected = model.projections[index].forward(ours);
        let shape = projected.dims();
        let masked = mask.equal_elem(1.0).expand(shape);
        let tokens = projected.mask_where(masked, model.mask_token.val().expand(shape));
        let prefix = self.teacher.vit().prefix_tokens();
        let generator = &model.generators[index];
        on_patches(tokens, prefix, |patches| generator.forward(patches, self.grid))
    }
}

impl Method for Vitkd {
    type Model = VitkdModel;

    fn student<'a>(&self, model: &'a VitkdModel) -> &'a Vit {
        &model.student
    }

    fn teacher(&self) -> Option<&Vit> {
        Some(self.teacher.vit())
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &VitkdModel, inputs: LossInputs<'_>) -> Loss {
        // The last block's tokens are always among those wanted.
        let [images, tokens, _] = inputs.tokens[0].dims();
        let masks = self.masks([images, tokens], inputs.step, inputs.first);
        self.loss_with_masks(model, inputs, masks)
    }

    /// The masks alone say how many values each layer's mean is over.
    fn counts(&self, model: &VitkdModel, shard: &Shard<'_>) -> Option<Vec<Tensor<1>>> {
        let teacher = self.teacher.vit();
        let tokens = teacher.prefix_tokens() + self.grid.iter().product::<usize>();
        let masks = self.masks([shard.labels.len(), tokens], shard.step, shard.first);
        let device = model.student.device().inner();
        let count = |mask| Tensor::<3>::from_data(mask, &device).sum() * teacher.embed_dim() as f64;
        Some(masks.into_iter().map(count).collect())
    }

    fn parts(&self, model: &VitkdModel) -> Vec<(String, TensorData)> {
        let (generated, mimicked) = self.teacher_layers.split_at(self.generated);
        let mut parts = vec![("mask_token".to_owned(), model.mask_token.val().into_data())];
        for ((layer, linear), generator) in
            generated.iter().zip(&model.projections).zip(&model.generators)
        {
            parts.extend(projection_parts("proj", *layer, linear));
            for (name, conv) in [("conv1", &generator.conv1), ("conv2", &generator.conv2)] {
                let name = format!("generator.{layer}.{name}");
                parts.push((format!("{name}.weight"), conv.weight.val().into_data()));
                parts.push((format!("{name}.bias"), conv.bias.val().into_data()));
            }
        }
        for (layer, linear) in mimicked.iter().zip(&model.mimics) {
            parts.extend(projection_parts("mimic", *layer, linear));
        }
        parts
    }
}

impl VitkdSettings {
    /// The settings with a change.
    ///
    /// ```
    /// let settings = singer::distill::VitkdSettings::default().with(|s| s.mask_ratio = 0.75);
    /// assert_eq!((settings.mask_ratio, settings.weight), (0.75, 1.0));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self, depth: usize, student_depth: usize) -> Result<()> {
        check_weight("vitkd.weight", self.weight)?;
        check_weight("mimic_weight", self.mimic_weight)?;
        if !(self.mask_ratio > 0.0 && self.mask_ratio <= 1.0) {
            let expected = "it must be above 0 and at most 1";
            return Err(Error::setting("mask_ratio", self.mask_ratio, expected));
        }
        let (setting, last) = ("mimic_layers", depth - 1);
        let mimicked = &self.mimic_layers;
        if let Some(&layer) = mimicked.iter().find(|&&layer| layer > last) {
            return Err(Error::Layer { setting, layer, last });
        }
        let mut seen = mimicked.iter().enumerate();
        if let Some((_, &layer)) = seen.find(|(place, layer)| mimicked[..*place].contains(layer)) {
            return Err(Error::RepeatedLayer { setting, layer });
        }
        match mimicked.len() > student_depth {
            true => Err(Error::TooManyLayers { layers: mimicked.clone(), student_depth }),
            false => Ok(()),
        }
    }
}

impl Generator {
    fn new(dim: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let conv1 = Convolution::new(dim, rng, device);
        Self { conv1, conv2: Convolution::new(dim, rng, device) }
    }

    /// `[B, P, D] -> [B, P, D]`, patches in row-major order of the grid.
    pub fn forward(&self, patches: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<3> {
        let [batch, count, dim] = patches.dims();
        let map = patches.reshape([batch, height, width, dim]);
        let map = self.conv2.forward(relu(self.conv1.forward(map)));
        map.reshape([batch, count, dim])
    }
}

impl Convolution {
    /// PyTorch's start, uniform ±1/√fan_in.
    fn new(dim: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let bound = 1.0 / (9.0 * dim as f32).sqrt();
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        };
        let (weight, bias) = (draw(dim * dim * 9), draw(dim));
        let weight = Tensor::from_data(TensorData::new(weight, [dim, dim, 3, 3]), device);
        let bias = Tensor::from_data(TensorData::new(bias, [dim]), device);
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias) }
    }

    /// `[B, H, W, D] -> [B, H, W, D]`: one matrix product for the nine taps, which are then
    /// shifted and added.
    ///
    /// burn's `conv2d` is not used. Autotune may give it the kernel `dgrad_im2col`, and in
    /// burn 0.22.1 the data gradient of that kernel is wrong.
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, dim] = map.dims();
        let padded = map.pad([(1, 1), (1, 1), (0, 0)], 0.0);
        let weight = self.weight.val().permute([1, 2, 3, 0]).reshape([dim, 9 * dim]);
        let taps = padded.reshape([-1, dim as i32]).matmul(weight);
        let taps = taps.reshape([batch, height + 2, width + 2, 9 * dim]);
        let shifted = (0..9).map(|tap| {
            let (down, right) = (tap / 3, tap % 3);
            taps.clone().slice([
                0..batch,
                down..down + height,
                right..right + width,
                tap * dim..(tap + 1) * dim,
            ])
        });
        let bias = self.bias.val().reshape([1, 1, 1, dim]);
        shifted.reduce(|sum, tap| sum + tap).expect("nine taps") + bias
    }
}
