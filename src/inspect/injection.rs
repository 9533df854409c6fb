use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

use super::{BlockDrift, Injection, LogitDrift};
use crate::error::Result;
use crate::maps::FeatureMaps;
use crate::readback::read;
use crate::vit::Vit;

/// How far a teacher's outcome moved when the features of one layer were
/// replaced; sums over the images seen so far.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    images: usize,
    /// Class cosine, patch cosine and relative change of each block, from the
    /// replaced layer on.
    blocks: Vec<[f64; 3]>,
    /// Class and patch cosine after the final norm.
    last: [f64; 2],
    /// KL divergence and top-1 agreement.
    logits: Option<[f64; 2]>,
}

/// Replaces the tokens leaving block `layer`, runs the rest of the teacher on
/// both, and compares block by block: `unchanged` and each of `replaced` are
/// `[B, T, D]`; one drift comes back for each of `replaced`.
///
/// Nothing is assumed to vanish: the residual stream carries a change on, and
/// LayerNorm rescales what is left of a token that changed. In a model without
/// class token its pooled output stands in for it, see [`Vit::global_feature`].
///
/// # Errors
/// Those of [`FeatureMaps`] and of the device.
pub fn inject(
    teacher: &Vit,
    maps: &FeatureMaps,
    layer: usize,
    unchanged: Tensor<3>,
    replaced: Vec<Tensor<3>>,
) -> Result<Vec<Drift>> {
    let prefix = teacher.prefix_tokens();
    let images = unchanged.dims()[0];
    let mut drifts = vec![Drift { images, ..Drift::default() }; replaced.len()];
    let (mut unchanged, mut replaced) = (unchanged, replaced);
    for block in layer..teacher.depth() {
        if block > layer {
            unchanged = teacher.forward_blocks(unchanged, block..block + 1);
            for tokens in &mut replaced {
                *tokens = teacher.forward_blocks(tokens.clone(), block..block + 1);
            }
        }
        for (drift, tokens) in drifts.iter_mut().zip(&replaced) {
            let summaries =
                [&unchanged, tokens].map(|tokens| teacher.global_feature(tokens.clone()));
            let cosines = cosines(maps, summaries, &unchanged, tokens, prefix)?;
            let change = relative_change(&unchanged, tokens, prefix);
            drift.blocks.push(sums(Tensor::cat(vec![cosines, change], 1))?);
        }
    }
    let unchanged = teacher.final_norm(unchanged);
    let answer = |tokens: &Tensor<3>| {
        let pooled = teacher.pool(tokens.clone());
        teacher.head.as_ref().map(|head| log_softmax(head.forward(pooled), 1))
    };
    let answered = answer(&unchanged);
    for (drift, tokens) in drifts.iter_mut().zip(replaced) {
        let tokens = teacher.final_norm(tokens);
        let summaries = [&unchanged, &tokens].map(|tokens| {
            teacher.class_token(tokens).unwrap_or_else(|| teacher.pool(tokens.clone()))
        });
        drift.last = sums(cosines(maps, summaries, &unchanged, &tokens, prefix)?)?;
        let logits = answered.clone().zip(answer(&tokens));
        let logits = logits.map(|(before, after)| compare_answers(before, after));
        drift.logits = logits.transpose()?;
    }
    Ok(drifts)
}

impl Drift {
    /// Adds the images of another batch, of the same layer and method.
    pub fn add(&mut self, other: Self) {
        if self.images == 0 {
            *self = other;
            return;
        }
        self.images += other.images;
        for (sums, more) in self.blocks.iter_mut().zip(other.blocks) {
            *sums = std::array::from_fn(|i| sums[i] + more[i]);
        }
        self.last = std::array::from_fn(|i| self.last[i] + other.last[i]);
        self.logits =
            self.logits.zip(other.logits).map(|(a, b)| std::array::from_fn(|i| a[i] + b[i]));
    }

    /// Means over the images.
    pub fn injection(&self, layer: usize, method: &str) -> Injection {
        let mean = |sum: f64| (sum / self.images.max(1) as f64) as f32;
        let blocks = self.blocks.iter().enumerate().map(|(index, sums)| {
            let [class_cosine, patch_cosine, relative_change] = sums.map(mean);
            BlockDrift { block: layer + index, class_cosine, patch_cosine, relative_change }
        });
        let [class_cosine, patch_cosine] = self.last.map(mean);
        Injection {
            layer,
            method: method.to_owned(),
            blocks: blocks.collect(),
            class_cosine,
            patch_cosine,
            logits: self.logits.map(|sums| {
                let [kl, top1_agreement] = sums.map(mean);
                LogitDrift { kl, top1_agreement }
            }),
        }
    }
}

/// Cosine of the global features, `[B, D]` each, and the mean cosine over patches: `[B, 2]`.
fn cosines(
    maps: &FeatureMaps,
    summaries: [Tensor<2>; 2],
    unchanged: &Tensor<3>,
    changed: &Tensor<3>,
    prefix: usize,
) -> Result<Tensor<2>> {
    let [before, after] = summaries.map(|summary| summary.unsqueeze_dim::<3>(1));
    let class = maps.cosine_between(before, after, [0, 0])?;
    let patches = maps.cosine_between(unchanged.clone(), changed.clone(), [prefix; 2])?;
    Ok(Tensor::cat(vec![class, patches.mean_dim(1)], 1))
}

/// Norm of the change over the norm of the unchanged patch, mean over patches:
/// `[B, 1]`. Exactly zero where nothing changed, which `patch_norms` is not.
fn relative_change(unchanged: &Tensor<3>, changed: &Tensor<3>, prefix: usize) -> Tensor<2> {
    let count = unchanged.dims()[1] - prefix;
    let norms = |tokens: Tensor<3>| {
        tokens.narrow(1, prefix, count).square().sum_dim(2).sqrt().squeeze_dim::<2>(2)
    };
    let change = norms(changed.clone() - unchanged.clone());
    (change / norms(unchanged.clone()).clamp_min(1e-12)).mean_dim(1)
}

/// Sum over images of each column of `[B, N]`.
fn sums<const N: usize>(values: Tensor<2>) -> Result<[f64; N]> {
    let values = read(values)?;
    Ok(std::array::from_fn(|column| {
        values.iter().skip(column).step_by(N).map(|&value| f64::from(value)).sum()
    }))
}

/// Sums over images of the KL divergence from `before` and of the top-1 agreement, from
/// log-probabilities `[B, classes]`.
fn compare_answers(before: Tensor<2>, after: Tensor<2>) -> Result<[f64; 2]> {
    let classes = before.dims()[1];
    let (before, after) = (read(before)?, read(after)?);
    let mut sums = [0.0; 2];
    for (p, q) in before.chunks(classes).zip(after.chunks(classes)) {
        let terms = p.iter().zip(q).map(|(&p, &q)| f64::from(p).exp() * f64::from(p - q));
        // Never negative but for rounding.
        sums[0] += terms.sum::<f64>().max(0.0);
        sums[1] += f64::from(super::statistics::largest(p) == super::statistics::largest(q));
    }
    Ok(sums)
}
