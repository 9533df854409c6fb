use serde::{Deserialize, Serialize};

/// How the learning rate moves. It is a function of the step alone, so that a
/// resumed run needs no state for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Linear warm-up from `warmup_lr`, then a half cosine to `min_lr`.
    Cosine {
        /// Epochs of warm-up.
        #[serde(default)]
        warmup_epochs: f64,
        /// Rate of the first step.
        #[serde(default)]
        warmup_lr: f64,
        /// Rate at the end.
        #[serde(default)]
        min_lr: f64,
    },
    /// The rate is multiplied by `gamma` at each milestone.
    Milestones {
        /// Epochs at which the rate falls.
        epochs: Vec<f64>,
        /// Factor at each.
        #[serde(default = "tenth")]
        gamma: f64,
    },
    /// The rate stays.
    Constant {},
}

fn tenth() -> f64 {
    0.1
}

impl Default for Schedule {
    /// The paper's: 5 epochs of warm-up, cosine to 1e-4.
    fn default() -> Self {
        Self::Cosine { warmup_epochs: 5.0, warmup_lr: 0.0, min_lr: 1e-4 }
    }
}

impl Schedule {
    /// A half cosine from the highest rate to `min_lr`, without a warm-up.
    pub fn half_cosine(min_lr: f64) -> Self {
        Self::Cosine { warmup_epochs: 0.0, warmup_lr: 0.0, min_lr }
    }

    /// The learning rate of `step` (from 0) of `total`, with `per_epoch` steps
    /// an epoch and `lr` as the highest rate.
    pub fn rate(&self, lr: f64, step: usize, total: usize, per_epoch: usize) -> f64 {
        let epoch = step as f64 / per_epoch.max(1) as f64;
        match self {
            Self::Cosine { warmup_epochs, warmup_lr, min_lr } => {
                let warmup = (warmup_epochs * per_epoch as f64).round().min(total as f64);
                let at = step as f64;
                if at < warmup {
                    return warmup_lr + (lr - warmup_lr) * (at + 1.0) / warmup;
                }
                let share = (at - warmup) / (total as f64 - warmup).max(1.0);
                min_lr + (lr - min_lr) * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
            }
            Self::Milestones { epochs, gamma } => {
                let passed = epochs.iter().filter(|&&milestone| epoch >= milestone).count();
                lr * gamma.powi(passed as i32)
            }
            Self::Constant {} => lr,
        }
    }
}
