//! The training loop that `distill` and `pretrain` share.

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
#[cfg(not(target_family = "wasm"))]
mod metrics;
mod optimizer;
#[cfg(not(target_family = "wasm"))]
mod pretrain;
#[cfg(not(target_family = "wasm"))]
mod run;
mod schedule;
#[cfg(not(target_family = "wasm"))]
mod shards;

#[cfg(not(target_family = "wasm"))]
pub use checkpoint::Checkpoint;
#[cfg(not(target_family = "wasm"))]
pub use metrics::{MetricsFile, Record};
#[cfg(not(target_family = "wasm"))]
pub(crate) use optimizer::Rule;
pub use optimizer::{OptimizerSettings, ParamOptimizer};
#[cfg(not(target_family = "wasm"))]
pub use pretrain::PretrainTask;
#[cfg(not(target_family = "wasm"))]
pub use run::{Outcome, Progress, RunSettings, Task, TaskLoss, train};
pub use schedule::Schedule;
#[cfg(not(target_family = "wasm"))]
pub use shards::{Part, Shards};
