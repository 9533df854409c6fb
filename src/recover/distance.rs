use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Recovery, Treatment};
use crate::error::Result;
use crate::readback::read;

/// How far tokens `x̂` are from the clean ones `x`, means over patches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Patches counted.
    pub patches: usize,
    /// `‖x̂ − x‖ / ‖x‖`.
    pub distance: f64,
    /// `|‖x̂‖ − ‖x‖| / ‖x‖`.
    pub norm: f64,
    /// `1 − cos(x̂, x)`.
    pub cosine: f64,
}

/// Layer, block and treatment.
type Key = (usize, usize, Treatment);

/// Sums of errors on artifacts and on the other patches.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<Key, [Errors; 2]>);

impl Tally {
    /// Adds a batch: `tokens` and `wanted` are `[B, T, D]`, `artifact` has one
    /// entry for each patch.
    pub(super) fn add(
        &mut self,
        key: Key,
        tokens: Tensor<3>,
        wanted: Tensor<3>,
        prefix: usize,
        artifact: &[bool],
    ) -> Result<()> {
        let count = tokens.dims()[1] - prefix;
        let patches = |tokens: Tensor<3>| tokens.narrow(1, prefix, count);
        let (ours, wanted) = (patches(tokens), patches(wanted));
        let sums = [
            (ours.clone() - wanted.clone()).square().sum_dim(2),
            ours.clone().square().sum_dim(2),
            wanted.clone().square().sum_dim(2),
            (ours * wanted).sum_dim(2),
        ];
        let values = read(Tensor::cat(sums.into(), 2))?;
        let entry = self.0.entry(key).or_default();
        for (sums, &artifact) in values.chunks(4).zip(artifact) {
            let [change, ours, wanted, product] = [0, 1, 2, 3].map(|at| f64::from(sums[at]));
            let (ours, wanted) = (ours.sqrt(), wanted.sqrt().max(1e-12));
            let errors = &mut entry[usize::from(!artifact)];
            errors.patches += 1;
            errors.distance += change.sqrt() / wanted;
            errors.norm += (ours - wanted).abs() / wanted;
            errors.cosine += 1.0 - product / (ours * wanted).max(1e-24);
        }
        Ok(())
    }

    /// The means, in the order of layers, blocks and treatments.
    pub(super) fn recoveries(self) -> Vec<Recovery> {
        let mean = |sums: Errors| {
            let count = sums.patches.max(1) as f64;
            Errors {
                patches: sums.patches,
                distance: sums.distance / count,
                norm: sums.norm / count,
                // Never negative but for rounding.
                cosine: (sums.cosine / count).max(0.0),
            }
        };
        let entries = self.0.into_iter();
        entries
            .map(|((layer, block, treatment), [artifacts, clean])| Recovery {
                layer,
                block,
                treatment,
                artifacts: mean(artifacts),
                clean: mean(clean),
            })
            .collect()
    }
}
