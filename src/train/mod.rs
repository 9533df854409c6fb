//! The training loop that `distill` and `pretrain` share.

mod checkpoint;
mod metrics;
mod optimizer;
mod run;
mod schedule;
mod shards;
mod tasks;

pub use checkpoint::Checkpoint;
pub use metrics::{MetricsFile, Record};
pub use optimizer::{OptimizerSettings, ParamOptimizer};
pub use run::{Outcome, Progress, RunSettings, Task, TaskLoss, train};
pub use schedule::Schedule;
pub use shards::{Part, Shards};
pub use tasks::{DistillTask, PretrainTask};
