use serde::Serialize;

use super::{Case, Errors, Findings, Recovery, Treatment};
use crate::study;

/// Mean and standard deviation over planting seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample's standard deviation; 0 for one seed.
    pub deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let study::Summary { mean, deviation } = study::Summary::of(values)?;
        Some(Self { mean, deviation: deviation.unwrap_or_default() })
    }
}

/// The distance `‖x̂ − x‖ / ‖x‖` to the clean features of one treatment after one block, over the
/// seeds of one kind, placement and strength.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What was planted: [`Subject::name`](super::Subject::name).
    pub name: String,
    /// The treatment.
    pub treatment: Treatment,
    /// As in [`Recovery`].
    pub layer: Option<usize>,
    /// As in [`Recovery`].
    pub block: usize,
    /// Seeds.
    pub seeds: usize,
    /// On patches with an artifact; none where there are none.
    pub artifacts: Option<Spread>,
    /// On the others.
    pub others: Option<Spread>,
    /// On all patches.
    pub all: Option<Spread>,
    /// On class tokens with an artifact; none where there are none.
    pub class_artifacts: Option<Spread>,
    /// On all class tokens.
    pub class_token: Option<Spread>,
}

impl Findings {
    /// Means and standard deviations over the seeds, in the order of the cases, and of layers,
    /// blocks and treatments within.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut summaries: Vec<Summary> = Vec::new();
        for case in &self.cases {
            let name = case.name();
            if summaries.iter().any(|summary| summary.name == name) {
                continue;
            }
            let group: Vec<&Case> = self.cases.iter().filter(|one| one.name() == name).collect();
            summaries.extend(case.recoveries.iter().map(|one| summary(&name, &group, one)));
        }
        summaries
    }
}

fn summary(name: &str, group: &[&Case], like: &Recovery) -> Summary {
    let key = |one: &Recovery| (one.layer, one.block, one.treatment);
    let all = group.iter().flat_map(|case| &case.recoveries);
    let same: Vec<&Recovery> = all.filter(|one| key(one) == key(like)).collect();
    let spread = |errors: &dyn Fn(&Recovery) -> Option<Errors>| {
        let found = same.iter().filter_map(|one| errors(one)).filter(|errors| errors.tokens > 0);
        Spread::of(&found.map(|errors| errors.distance).collect::<Vec<_>>())
    };
    Summary {
        name: name.to_owned(),
        treatment: like.treatment,
        layer: like.layer,
        block: like.block,
        seeds: same.len(),
        artifacts: spread(&|one| Some(one.artifacts)),
        others: spread(&|one| Some(one.others)),
        all: spread(&|one| Some(one.all)),
        class_artifacts: spread(&|one| Some(one.class_token?.artifacts)),
        class_token: spread(&|one| Some(one.class_token?.all)),
    }
}
