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

mod checkpoint;
mod metrics;
mod optimizer;
mod pretrain;
mod run;
mod schedule;
mod shards;

pub use checkpoint::Checkpoint;
pub use metrics::{MetricsFile, Record};
pub(crate) use optimizer::Rule;
pub use optimizer::{OptimizerSettings, ParamOptimizer};
pub use pretrain::PretrainTask;
pub use run::{Outcome, Progress, RunSettings, Task, TaskLoss, train};
pub use schedule::Schedule;
pub use shards::{Part, Shards};
