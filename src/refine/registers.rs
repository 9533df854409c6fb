use std::collections::BTreeMap;

use burn::tensor::{Bool, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{ImageBatches, above};
use crate::error::{Error, Result};
use crate::readback::read;
use crate::statistics::median;
use crate::tokens::{on_patches, patch_norms};
use crate::vit::Vit;

/// What the added token's register neurons are set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterValue {
    /// Each its own activation of largest magnitude over the image's tokens (paper).
    #[default]
    Each,
    /// All those of a block the largest among them (the authors' program).
    Largest,
}

/// Settings of [`Registers`]. The authors choose detection block and bounds for each model by
/// hand; here what is not set follows from where outliers appear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RegisterSettings {
    /// How many register neurons there are. The authors take 10 for a ViT-B and 50 for a ViT-L.
    pub neurons: usize,
    /// An outlier's norm exceeds this multiple of its image's median. (The authors set a norm
    /// for each model.)
    pub factor: f64,
    /// The block after which outliers are looked for; none for the one after which most
    /// patches are outliers. (The authors take the last, or the one before it.)
    pub detect: Option<usize>,
    /// The last block that may have register neurons; none for the first one after which there
    /// are half as many outliers as at `detect`.
    pub last: Option<usize>,
    /// Whether only neurons count whose activation is below 0.5 on at least half of an
    /// image's tokens.
    pub sparse: bool,
    /// What the added token gets.
    pub value: RegisterValue,
}

impl Default for RegisterSettings {
    fn default() -> Self {
        Self {
            neurons: 10,
            factor: 2.0,
            detect: None,
            last: None,
            sparse: true,
            value: RegisterValue::default(),
        }
    }
}

/// Below this activation a neuron rests, in [`RegisterSettings::sparse`].
const AT_REST: f64 = 0.5;

impl RegisterSettings {
    /// The settings with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn check(&self, vit: &Vit) -> Result<()> {
        let most = vit.depth() * hidden_width(vit);
        if self.neurons == 0 || self.neurons > most {
            let expected = format!("it must lie between 1 and the teacher's {most} hidden units");
            return Err(Error::setting("registers.neurons", self.neurons, expected));
        }
        above("registers.factor", self.factor, 1.0)?;
        for block in self.detect.iter().chain(&self.last) {
            if *block >= vit.depth() {
                let expected = format!("the teacher's blocks are 0 to {}", vit.depth() - 1);
                return Err(Error::setting("block", block, expected));
            }
        }
        Ok(())
    }
}

/// A hidden unit that writes outliers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegisterNeuron {
    /// Its block.
    pub block: usize,
    /// Its place among the inputs of that block's `fc2`.
    pub neuron: usize,
    /// Its mean |activation| on outliers.
    pub score: f32,
}

/// Test-time registers (Jiang, Dravid et al., 2025, arXiv 2506.08010): the hidden units that
/// write outliers, the *register neurons*, act on one added token that starts at zero, and on
/// no patch. Nothing is trained.
///
/// Any family will do: the added token stands before the patches, so that rotary positions
/// pass it by, and it is taken out again before tokens are returned. In a gated MLP a
/// neuron is a product of gate and value, as in the authors' program.
#[derive(Debug, Clone)]
pub struct Registers {
    /// The strongest first.
    neurons: Vec<RegisterNeuron>,
    /// Of each block that has register neurons, which of its hidden units they are,
    /// `[1, 1, hidden]`.
    masks: BTreeMap<usize, Tensor<3, Bool>>,
    value: RegisterValue,
}

impl Registers {
    /// The same for those that refine a teacher alike.
    pub(super) fn fingerprint(&self) -> String {
        format!("Registers {:?} {:?}", self.neurons, self.value)
    }

    /// Looks for a teacher's register neurons on some hundred images: those with the highest
    /// mean |activation| on outliers. Without outliers there are none, and nothing is changed
    /// then.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NoImages`], [`Error::Gpu`]; errors of the images.
    pub fn find<I: ImageBatches + ?Sized>(
        vit: &Vit,
        images: &I,
        settings: &RegisterSettings,
    ) -> Result<Self> {
        settings.check(vit)?;
        let counts = outlier_counts(vit, images, settings.factor)?;
        // The first of those with the most.
        let most = (0..counts.len()).rev().max_by_key(|&block| counts[block]).unwrap_or_default();
        let detect = settings.detect.unwrap_or(most);
        if counts[detect] == 0 {
            return Ok(Self::of(vit, Vec::new(), settings.value));
        }
        let enough = |&block: &usize| 2 * counts[block] >= counts[detect];
        let last = settings.last.or_else(|| (0..=detect).find(enough)).unwrap_or(detect);
        let scores = scores(vit, images, settings, detect, last)?;
        let mut neurons: Vec<RegisterNeuron> = scores
            .into_iter()
            .enumerate()
            .flat_map(|(block, scores)| {
                let neuron = move |(neuron, score)| RegisterNeuron { block, neuron, score };
                scores.into_iter().enumerate().map(neuron)
            })
            .filter(|neuron| neuron.score > 0.0)
            .collect();
        neurons.sort_by(|a, b| b.score.total_cmp(&a.score));
        neurons.truncate(settings.neurons);
        Ok(Self::of(vit, neurons, settings.value))
    }

    /// With given neurons.
    ///
    /// # Panics
    /// Where a block lacks the neuron.
    pub fn of(vit: &Vit, neurons: Vec<RegisterNeuron>, value: RegisterValue) -> Self {
        let hidden = hidden_width(vit);
        let mut chosen: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
        for neuron in &neurons {
            chosen.entry(neuron.block).or_insert_with(|| vec![false; hidden])[neuron.neuron] = true;
        }
        let device = vit.device();
        let mask = |(block, chosen)| {
            (block, Tensor::from_data(TensorData::new(chosen, [1, 1, hidden]), &device))
        };
        Self { neurons, masks: chosen.into_iter().map(mask).collect(), value }
    }

    /// The register neurons, the strongest first; empty where there were no outliers.
    pub fn neurons(&self) -> &[RegisterNeuron] {
        &self.neurons
    }

    /// The tokens leaving `layers`, `[B, 3, H, W]` to `[B, T, D]` each, without the added one.
    pub fn intermediate(&self, vit: &Vit, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        if self.neurons.is_empty() {
            return vit.intermediate(images, layers);
        }
        let prefix = vit.prefix_tokens();
        let mut tokens = with_register(vit, vit.embed(images), prefix);
        let mut leaving = Vec::new();
        let until = layers.iter().max().map_or(0, |&last| last + 1);
        for (layer, block) in vit.blocks[..until].iter().enumerate() {
            tokens = match self.masks.get(&layer) {
                Some(mask) => {
                    block.forward_changing(tokens, |hidden| self.moved(hidden, mask, prefix))
                }
                None => block.forward(tokens),
            };
            let wanted = layers.contains(&layer);
            leaving.push(wanted.then(|| without_register(tokens.clone(), prefix)));
        }
        layers.iter().filter_map(|&layer| leaving[layer].clone()).collect()
    }

    /// Moves the register neurons' activation to the added token, the one at `register`:
    /// `[B, T + 1, hidden]` in and out.
    fn moved(&self, hidden: Tensor<3>, mask: &Tensor<3, Bool>, register: usize) -> Tensor<3> {
        let [batch, tokens, width] = hidden.dims();
        let patches = tokens - register - 1;
        let shape = [batch, 1, width];
        let strongest = match self.value {
            RegisterValue::Each => {
                signed_max([hidden.clone().max_dim(1), hidden.clone().min_dim(1)])
            }
            RegisterValue::Largest => {
                let others = mask.clone().bool_not().expand(hidden.dims());
                let of_neurons = |rest| hidden.clone().mask_fill(others.clone(), rest);
                let most = of_neurons(f32::NEG_INFINITY).max_dim(1).max_dim(2);
                let least = of_neurons(f32::INFINITY).min_dim(1).min_dim(2);
                signed_max([most, least]).expand(shape)
            }
        };
        let nothing = Tensor::zeros([batch, patches, width], &hidden.device());
        let moved =
            on_patches(hidden.clone(), register, |_| Tensor::cat(vec![strongest, nothing], 1));
        let mask = mask.clone().expand(hidden.dims());
        hidden.mask_where(mask, moved)
    }
}

/// That of the larger magnitude.
fn signed_max([most, least]: [Tensor<3>; 2]) -> Tensor<3> {
    let negative = least.clone().abs().greater(most.clone().abs());
    most.mask_where(negative, least)
}

/// Width of the input of every block's `fc2`.
fn hidden_width(vit: &Vit) -> usize {
    vit.blocks[0].mlp.fc2.weight.dims()[0]
}

/// With a token that starts at zero before the patches, `[B, T, D] -> [B, T + 1, D]`. As in
/// the authors' program it passes the LayerNorm before block 0, where there is one.
fn with_register(vit: &Vit, tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
    let [batch, _, dim] = tokens.dims();
    let register = Tensor::zeros([batch, 1, dim], &tokens.device());
    let register = match &vit.norm_pre {
        Some(norm) => norm.forward(register),
        None => register,
    };
    on_patches(tokens, prefix, |patches| Tensor::cat(vec![register, patches], 1))
}

fn without_register(tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
    let patches = tokens.dims()[1] - prefix - 1;
    on_patches(tokens, prefix, |rest| rest.narrow(1, 1, patches))
}

/// How many patches are outliers after each block.
fn outlier_counts<I: ImageBatches + ?Sized>(
    vit: &Vit,
    images: &I,
    factor: f64,
) -> Result<Vec<usize>> {
    let blocks: Vec<usize> = (0..vit.depth()).collect();
    let mut counts = vec![0; blocks.len()];
    let mut batches = images.batches()?.peekable();
    if batches.peek().is_none() {
        return Err(Error::NoImages);
    }
    for batch in batches {
        let leaving = vit.intermediate(batch?, &blocks);
        for (count, tokens) in counts.iter_mut().zip(leaving) {
            let outliers = outliers(tokens, vit.prefix_tokens(), factor)?;
            *count += outliers.iter().flatten().filter(|&&outlier| outlier).count();
        }
    }
    Ok(counts)
}

/// Which patches are outliers, image by image.
fn outliers(tokens: Tensor<3>, prefix: usize, factor: f64) -> Result<Vec<Vec<bool>>> {
    let patches = tokens.dims()[1] - prefix;
    let norms = read(patch_norms(tokens, prefix))?;
    let image = |norms: &[f32]| {
        let limit = factor * f64::from(median(norms));
        norms.iter().map(|&norm| f64::from(norm) > limit).collect()
    };
    Ok(norms.chunks(patches).map(image).collect())
}

/// Of blocks 0 to `last`, the mean over images with outliers of each hidden unit's mean
/// |activation| on them.
fn scores<I: ImageBatches + ?Sized>(
    vit: &Vit,
    images: &I,
    settings: &RegisterSettings,
    detect: usize,
    last: usize,
) -> Result<Vec<Vec<f32>>> {
    let prefix = vit.prefix_tokens();
    let mut sums = vec![vec![0.0_f64; hidden_width(vit)]; last + 1];
    let mut with_outliers = 0;
    for batch in images.batches()? {
        let batch = batch?;
        let tokens = vit.intermediate(batch.clone(), &[detect]).remove(0);
        let outliers = outliers(tokens, prefix, settings.factor)?;
        with_outliers += outliers.iter().filter(|image| image.contains(&true)).count();
        let weights = outlier_weights(&outliers, &vit.device());
        let mut tokens = vit.embed(batch);
        for (block, sums) in vit.blocks[..=last].iter().zip(&mut sums) {
            let mut seen = None;
            tokens = block.forward_changing(tokens, |hidden| {
                seen = Some(hidden.clone());
                hidden
            });
            let Some(hidden) = seen else { continue };
            let [_, count, _] = hidden.dims();
            let on_patches = hidden.clone().narrow(1, prefix, count - prefix).abs();
            let mut means = (on_patches * weights.clone()).sum_dim(1);
            if settings.sparse {
                let resting = hidden.lower_elem(AT_REST).float().mean_dim(1);
                means = means * resting.greater_equal_elem(0.5).float();
            }
            let means = read(means.sum_dim(0).squeeze_dims::<1>(&[0, 1]))?;
            for (sum, mean) in sums.iter_mut().zip(means) {
                *sum += f64::from(mean);
            }
        }
    }
    let mean = |sum: f64| (sum / with_outliers.max(1) as f64) as f32;
    Ok(sums.into_iter().map(|sums| sums.into_iter().map(mean).collect()).collect())
}

/// `[B, P, 1]`: one over the image's number of outliers for each of them, else zero.
fn outlier_weights(outliers: &[Vec<bool>], device: &burn::tensor::Device) -> Tensor<3> {
    let weight = |image: &Vec<bool>| {
        let count = image.iter().filter(|&&outlier| outlier).count().max(1);
        let weight = 1.0 / count as f32;
        image.iter().map(|&outlier| if outlier { weight } else { 0.0 }).collect::<Vec<_>>()
    };
    let patches = outliers.first().map_or(0, Vec::len);
    let weights: Vec<f32> = outliers.iter().flat_map(weight).collect();
    Tensor::from_data(TensorData::new(weights, [outliers.len(), patches, 1]), device)
}
