//! The training loop: optimiser, schedule, exact checkpoints, metrics, and the one place
//! where the shards of a batch are added up.

/// Lets a visitor or mapper with a field `path` know where in the module it is.
macro_rules! track_path {
    () => {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
    };
}

#[cfg(not(target_family = "wasm"))]
mod checkpoint;
mod loss;
mod loss_scale;
#[cfg(not(target_family = "wasm"))]
mod metrics;
mod optimizer;
#[cfg(not(target_family = "wasm"))]
pub mod ranks;
mod reduce;
#[cfg(not(target_family = "wasm"))]
mod run;
mod schedule;
mod shards;
mod supervised;

#[cfg(not(target_family = "wasm"))]
pub use checkpoint::Checkpoint;
pub use loss::{Loss, Observation, Ratio, Term, Value};
pub use loss_scale::{LossScale, LossScaleSettings};
#[cfg(all(feature = "figures", not(target_family = "wasm")))]
pub(crate) use metrics::{METRICS, PACE};
#[cfg(not(target_family = "wasm"))]
pub use metrics::{MetricsFile, Pace, Record};
pub use optimizer::{OptimizerSettings, ParamOptimizer};
#[cfg(not(target_family = "wasm"))]
pub use ranks::Ranks;
pub use reduce::BatchLoss;
#[cfg(not(target_family = "wasm"))]
pub use run::{Feed, Outcome, Progress, TrainSettings, train};
pub use schedule::Schedule;
pub use shards::{Shard, Shards};
pub(crate) use supervised::label_loss;
pub use supervised::{Pretraining, cross_entropy, top1_accuracy};

use burn::module::Module;
use burn::tensor::Tensor;

#[cfg(not(target_family = "wasm"))]
use crate::error::{NotFiniteIn, Result};

/// What is trained and how its loss comes about.
pub trait Task: Sync {
    /// All trained parameters.
    type Model: Module + Sync;

    /// The loss on one shard of a batch, as values; what weights them and adds up the shards
    /// is [`Shards::backward`].
    fn loss(&self, model: &Self::Model, shard: Shard<'_>) -> Loss;

    /// The counts of the ratios in [`loss`](Self::loss) on the same shard
    /// ([`Loss::counts`]). A batch that goes in micro-batches needs them of all its images
    /// before the first of them goes backward. By default the loss is computed for them;
    /// a task that knows them by less, or has no ratios, says so here. Another number of
    /// them than the loss has ratios makes the trainer panic.
    fn counts(&self, model: &Self::Model, shard: Shard<'_>) -> Vec<Tensor<1>> {
        self.loss(model, shard).counts()
    }

    /// The model after a batch whose losses had [`remembered`](Loss::remembered) rows: those of
    /// all its images, in their order in the batch, `[B, D]` on the plain device. What is kept
    /// must be in the model, as a parameter without a gradient, so that checkpoints hold it. By
    /// default nothing is.
    fn remember(&self, model: Self::Model, _rows: Tensor<2>) -> Self::Model {
        model
    }

    /// Where the values of a batch whose loss is not finite first cease to be finite: `images`
    /// is `[B, 3, H, W]` on the plain device. A task with a frozen teacher looks there.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu).
    #[cfg(not(target_family = "wasm"))]
    fn not_finite_in(&self, _images: &Tensor<4>) -> Result<NotFiniteIn> {
        Ok(NotFiniteIn::Beyond { largest: 0.0 })
    }
}
