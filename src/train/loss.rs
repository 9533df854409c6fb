use burn::tensor::Tensor;

use crate::vit::Recompute;

/// The loss of a batch, or of a shard of one, as values: which terms are minimised and
/// what else is recorded.
#[derive(Debug, Default)]
pub struct Loss {
    /// What is minimised: the sum of these.
    pub terms: Vec<Term>,
    /// What is only recorded.
    pub observations: Vec<Observation>,
    /// A row for each image, `[B, D]` outside the graph, that the task keeps for the batches to
    /// come ([`Task::remember`](super::Task::remember)).
    pub remembered: Option<Tensor<2>>,
    /// Where the student's tokens came from without a graph ([`Shard::recompute`]): what the
    /// trainer goes backward through after the terms.
    ///
    /// [`Shard::recompute`]: super::Shard::recompute
    pub recompute: Option<Recompute>,
}

/// One term of a loss. A term that averages over a number of tokens which only the
/// batch tells, such as the outliers, is kept as sum and count: the mean over a batch
/// is not the mean over its shards' means.
#[derive(Debug)]
pub struct Term {
    /// Its name in metrics.
    pub name: &'static str,
    /// λ, its weight in the loss.
    pub weight: f64,
    /// What is weighted.
    pub value: Value,
}

/// The value of a [`Term`] on the images of one shard.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a loss has a handful of terms")]
pub enum Value {
    /// A mean over the images, `[1]`.
    Mean(Tensor<1>),
    /// `Σ_r sum_r / count_r`, `[1]` each, with counts outside the graph. A count of zero,
    /// whose sum is zero too, adds nothing.
    Ratios(Vec<Ratio>),
}

/// A sum and the number of its summands.
#[derive(Debug)]
pub struct Ratio {
    /// `[1]`, in the training graph.
    pub sum: Tensor<1>,
    /// `[1]`.
    pub count: Tensor<1>,
}

/// A quantity that is recorded and not minimised.
#[derive(Debug)]
pub struct Observation {
    /// Its name in metrics.
    pub name: &'static str,
    /// Means over the images, `[N]`; the largest one over the whole batch is recorded.
    pub means: Tensor<1>,
}

impl Loss {
    /// A loss of one term and nothing else to record.
    pub fn of(term: Term) -> Self {
        Self { terms: vec![term], ..Self::default() }
    }

    /// The counts of all ratios, in the order of terms and ratios, `[1]` each, outside the
    /// graph.
    pub fn counts(&self) -> Vec<Tensor<1>> {
        let ratios = self.terms.iter().filter_map(|term| match &term.value {
            Value::Ratios(ratios) => Some(ratios),
            Value::Mean(_) => None,
        });
        let count = |ratio: &Ratio| match ratio.count.device().is_autodiff() {
            true => ratio.count.clone().inner(),
            false => ratio.count.clone(),
        };
        ratios.flatten().map(count).collect()
    }
}

impl Term {
    /// A mean over the images, `[1]`, in the training graph.
    pub fn mean(name: &'static str, weight: f64, mean: Tensor<1>) -> Self {
        Self { name, weight, value: Value::Mean(mean) }
    }

    /// A sum of ratios, one for each layer as a rule.
    pub fn ratios(name: &'static str, weight: f64, ratios: Vec<Ratio>) -> Self {
        Self { name, weight, value: Value::Ratios(ratios) }
    }
}
