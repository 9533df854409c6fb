use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{ClassToken, Recovery, Treatment};
use crate::error::Result;
use crate::readback::read;

/// How far tokens `x̂` are from the clean ones `x`, means over tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Tokens counted.
    #[serde(alias = "patches")]
    pub tokens: usize,
    /// `‖x̂ − x‖ / ‖x‖`.
    pub distance: f64,
    /// `|‖x̂‖ − ‖x‖| / ‖x‖`.
    pub norm: f64,
    /// `1 − cos(x̂, x)`.
    pub cosine: f64,
}

impl Errors {
    fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.distance += other.distance;
        self.norm += other.norm;
        self.cosine += other.cosine;
    }

    /// The means of sums.
    fn mean(&self) -> Self {
        let count = self.tokens.max(1) as f64;
        Self {
            tokens: self.tokens,
            distance: self.distance / count,
            norm: self.norm / count,
            // Never negative but for rounding.
            cosine: (self.cosine / count).max(0.0),
        }
    }
}

/// Which tokens of a batch carry an artifact.
#[derive(Debug, Clone)]
pub(super) struct Carriers {
    /// One entry for each patch, image by image.
    pub(super) patches: Vec<bool>,
    /// One for each image; none where the model has no class token.
    pub(super) class_tokens: Option<Vec<bool>>,
}

/// Layer, block and treatment.
type Key = (Option<usize>, usize, Treatment);

/// Sums of errors.
#[derive(Default)]
struct Sums {
    artifacts: Errors,
    others: Errors,
    /// Of class tokens with an artifact, and of the others.
    class_token: Option<[Errors; 2]>,
}

/// Sums of errors by layer, block and treatment.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<Key, Sums>);

impl Tally {
    /// Adds a batch: `tokens` and `wanted` are `[B, T, D]`, whose first `prefix` are no patches.
    pub(super) fn add(
        &mut self,
        key: Key,
        tokens: Tensor<3>,
        wanted: Tensor<3>,
        prefix: usize,
        carriers: &Carriers,
    ) -> Result<()> {
        let count = tokens.dims()[1];
        let sums = [
            (tokens.clone() - wanted.clone()).square().sum_dim(2),
            tokens.clone().square().sum_dim(2),
            wanted.clone().square().sum_dim(2),
            (tokens * wanted).sum_dim(2),
        ];
        let values = read(Tensor::cat(sums.into(), 2))?;
        let entry = self.0.entry(key).or_default();
        let mut patches = carriers.patches.iter();
        for (image, tokens) in values.chunks(4 * count).enumerate() {
            for (place, token) in tokens.chunks(4).map(errors).enumerate() {
                match (place, &carriers.class_tokens) {
                    (0, Some(carry)) => {
                        let sums = entry.class_token.get_or_insert_default();
                        sums[usize::from(!carry[image])].add(&token);
                    }
                    (place, _) if place < prefix => {}
                    _ => match patches.next() {
                        Some(true) => entry.artifacts.add(&token),
                        _ => entry.others.add(&token),
                    },
                }
            }
        }
        Ok(())
    }

    /// The means, in the order of layers, blocks and treatments.
    pub(super) fn recoveries(self) -> Vec<Recovery> {
        let both = |artifacts: &Errors, others: &Errors| {
            let mut all = *artifacts;
            all.add(others);
            all.mean()
        };
        let entries = self.0.into_iter();
        entries
            .map(|((layer, block, treatment), sums)| Recovery {
                layer,
                block,
                treatment,
                artifacts: sums.artifacts.mean(),
                others: sums.others.mean(),
                all: both(&sums.artifacts, &sums.others),
                class_token: sums.class_token.map(|[artifacts, others]| ClassToken {
                    artifacts: artifacts.mean(),
                    all: both(&artifacts, &others),
                }),
            })
            .collect()
    }
}

/// Of one token, from `‖x̂ − x‖²`, `‖x̂‖²`, `‖x‖²` and `x̂ · x`.
fn errors(sums: &[f32]) -> Errors {
    let [change, ours, wanted, product] = [0, 1, 2, 3].map(|at| f64::from(sums[at]));
    let (ours, wanted) = (ours.sqrt(), wanted.sqrt().max(1e-12));
    Errors {
        tokens: 1,
        distance: change.sqrt() / wanted,
        norm: (ours - wanted).abs() / wanted,
        cosine: 1.0 - product / (ours * wanted).max(1e-24),
    }
}
