//! The one place where the parts of a batch meet.
//!
//! A [`Loss`](super::Loss) says what a shard contributes; nothing in it depends on how
//! the batch is split: over threads, or into micro-batches one after the other. Two sums
//! over the parts make a batch of them, always in the parts' order:
//!
//! 1. [`batch_counts`]: the counts of all ratios, before any part goes backward, so that
//!    each divides by the count of the whole batch.
//! 2. [`add`]: the reduced terms and the gradients, before they are clipped.
//!
//! Several ranks (`ranks`) add up the same two things, and nothing else.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::{Loss, Observation, Ratio, Term, Value};

/// The weighted terms of a batch, outside the graph.
#[derive(Debug)]
pub struct BatchLoss {
    /// The terms by name, `[1]` each; their sum is what is minimised.
    pub terms: Vec<(&'static str, Tensor<1>)>,
    /// What else is recorded, `[N]` each; see [`Observation`].
    pub(super) means: Vec<(&'static str, Tensor<1>)>,
    /// What the task keeps of each image, in their order; see [`Loss::remembered`](super::Loss).
    pub remembered: Option<Tensor<2>>,
    /// The first rank whose terms are not finite, where several ranks share the batch.
    #[cfg_attr(target_family = "wasm", allow(dead_code, reason = "there is one rank"))]
    pub(crate) not_finite: Option<usize>,
}

impl BatchLoss {
    /// What is minimised, `[1]`.
    pub fn total(&self) -> Tensor<1> {
        let terms = self.terms.iter().map(|(_, value)| value.clone());
        terms.reduce(|a, b| a + b).expect("a loss has at least one term")
    }

    /// What else is recorded, `[1]` each.
    pub fn observations(&self) -> impl Iterator<Item = (&'static str, Tensor<1>)> {
        self.means.iter().map(|(name, means)| (*name, means.clone().max()))
    }
}

/// The counts of all ratios of a batch from those of its parts ([`Loss::counts`]), in the
/// order of terms and ratios, `[1]` each. Nothing is read from the device.
pub(super) fn batch_counts(parts: impl IntoIterator<Item = Vec<Tensor<1>>>) -> Vec<Tensor<1>> {
    let pairwise = |sums: Vec<Tensor<1>>, more: Vec<Tensor<1>>| {
        sums.into_iter().zip(more).map(|(a, b)| a + b).collect()
    };
    parts.into_iter().reduce(pairwise).unwrap_or_default()
}

/// A shard's contribution to the loss of its batch, of whose images it holds the share
/// `share`: what to go backward from, and its terms.
///
/// # Panics
/// Where a task announced another number of counts than its loss has ratios.
pub(super) fn contribution(loss: Loss, share: f64, counts: &[Tensor<1>]) -> (Tensor<1>, BatchLoss) {
    // Otherwise ratios without a count would be missing from the loss.
    assert_eq!(loss.counts().len(), counts.len(), "Task::counts must name every ratio's count");
    let mut counts = counts.iter();
    let weighted = |Term { name, weight, value }: Term| match value {
        Value::Mean(mean) => (name, mean * (weight * share)),
        Value::Ratios(ratios) => {
            let means = ratios.into_iter().zip(counts.by_ref());
            let means = means.map(|(Ratio { sum, .. }, count)| {
                let count = count.clone().clamp_min(1.0);
                let constant = sum.device().is_autodiff();
                sum / if constant { Tensor::from_inner(count) } else { count }
            });
            let sum = means.reduce(|a, b| a + b).expect("a term of ratios has at least one");
            (name, sum * weight)
        }
    };
    let terms: Vec<(&'static str, Tensor<1>)> = loss.terms.into_iter().map(weighted).collect();
    let total = terms.iter().map(|(_, value)| value.clone()).reduce(|a, b| a + b);
    let total = total.expect("a loss has at least one term");
    let inner = |tensor: Tensor<1>| {
        if tensor.device().is_autodiff() { tensor.inner() } else { tensor }
    };
    let means = loss.observations.into_iter();
    let means = means.map(|Observation { name, means }| (name, inner(means) * share)).collect();
    let terms = terms.into_iter().map(|(name, value)| (name, inner(value))).collect();
    (total, BatchLoss { terms, means, remembered: loss.remembered, not_finite: None })
}

/// Adds the terms and gradients of a later shard to those of the earlier ones.
pub(super) fn add<M: Module>(
    model: &M,
    (ours, grads): (BatchLoss, GradientsParams),
    (theirs, more): (BatchLoss, GradientsParams),
) -> (BatchLoss, GradientsParams) {
    let pairwise = |a: Vec<(&'static str, Tensor<1>)>, b: Vec<(&'static str, Tensor<1>)>| {
        a.into_iter().zip(b).map(|((name, a), (_, b))| (name, a + b)).collect()
    };
    let sum = BatchLoss {
        terms: pairwise(ours.terms, theirs.terms),
        means: pairwise(ours.means, theirs.means),
        remembered: match (ours.remembered, theirs.remembered) {
            (Some(earlier), Some(later)) => Some(Tensor::cat(vec![earlier, later], 0)),
            (one, other) => one.or(other),
        },
        not_finite: None,
    };
    (sum, add_gradients(model, grads, more))
}

/// The gradients of a model from two parts of its loss.
pub(super) fn add_gradients<M: Module>(
    model: &M,
    into: GradientsParams,
    from: GradientsParams,
) -> GradientsParams {
    let mut gradients = AddGradients { into, from };
    model.visit(&mut gradients);
    gradients.into
}

struct AddGradients {
    into: GradientsParams,
    from: GradientsParams,
}

impl ModuleVisitor for AddGradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = match (self.into.remove::<D>(param.id), self.from.remove::<D>(param.id)) {
            (Some(a), Some(b)) => a + b,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return,
        };
        self.into.register(param.id, sum);
    }
}
