//! `singer bench --memory`: what a training step takes of the device, by part.

use std::process::ExitCode;

use burn::tensor::Device as BurnDevice;
use serde_json::{Value, json};

use super::args::BenchArgs;
use super::bench::{self, Subject};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::run::{DistillConfig, Plan, RefineKind};
use crate::train::{OptimizerSettings, ParamOptimizer, Shard, Shards, Task};

/// Steps until the pool has the pages that it needs.
const STEPS: usize = 3;

pub(super) fn run(
    args: &BenchArgs,
    opened: &Device,
    precision: Precision,
    threads: usize,
) -> Result<ExitCode> {
    let device = opened.burn();
    let before = InUse::now(device)?;
    let Subject { task, mut model, training, teacher, student } =
        Subject::new(args, device, precision)?;
    let weights = InUse::now(device)?;
    let images = bench::images(args, device)?;
    let labels = vec![0; args.batch];
    let with_images = InUse::now(device)?;

    // The loss of one micro-batch with its graph.
    let micro = args.batch.div_ceil(args.accumulate);
    let recompute = args.recompute;
    let shard = |images| Shard { images, labels: &labels[..micro], step: 0, first: 0, recompute };
    let loss = match opened.is_cpu() {
        // The process's peak is to be that of a step, which splits the batch.
        true => None,
        false => Some(task.loss(&model, shard(images.clone().narrow(0, 0, micro)))),
    };
    let with_graph = InUse::now(device)?;
    drop(loss);

    let shards = Shards::new(threads)?.accumulate(args.accumulate).recompute(args.recompute);
    let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
    for step in 0..STEPS {
        let (_, grads) = shards.backward(&task, &model, &training, &images, &labels, step);
        model = optimizer.step(1e-4, model, grads, None);
        bench::wait(device, None)?;
    }
    let trained = InUse::now(device)?;

    let measured = match (before, weights, with_images, with_graph, trained) {
        (Some(before), Some(weights), Some(with_images), Some(with_graph), Some(trained)) => {
            json!({
                "weights_mib": mib(weights.bytes.saturating_sub(before.bytes)),
                "images_mib": mib(with_images.bytes.saturating_sub(weights.bytes)),
                "activations_mib": mib(with_graph.bytes.saturating_sub(with_images.bytes)),
                "optimizer_mib": mib(trained.bytes.saturating_sub(with_images.bytes)),
                "pool_mib": mib(trained.reserved),
            })
        }
        _ => Value::Null,
    };
    let mut config = DistillConfig::default();
    [config.teacher, config.student] = bench::specs(args)?;
    config.singer = bench::settings(args, task.method.refinement().teacher().depth());
    config.refine = Some(RefineKind::Published);
    config.train.batch = args.batch;
    config.train.accumulate = args.accumulate;
    config.train.recompute = args.recompute;
    let plan = Plan::of(&config, precision, threads)?;
    let report = json!({
        "device": opened.name(),
        "teacher": teacher,
        "student": student,
        "batch": args.batch,
        "accumulate": args.accumulate,
        "recompute": args.recompute,
        "threads": threads,
        "precision": precision,
        "device_memory": measured,
        "peak_rss_mib": bench::peak_memory_mib(),
        "planned_mib": mib(plan.total()),
        "plan": plan,
    });
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// What the device's allocator holds.
#[derive(Clone, Copy)]
struct InUse {
    /// Of tensors.
    bytes: u64,
    /// Of the pages that they lie in.
    reserved: u64,
}

impl InUse {
    /// Once all work is done; none where the device does not tell, as on the CPU.
    fn now(device: &BurnDevice) -> Result<Option<Self>> {
        device.sync().map_err(|error| Error::gpu("waiting", &error.to_string()))?;
        let usage = device.memory_pool_usage();
        Ok(usage.map(|usage| Self { bytes: usage.bytes_in_use, reserved: usage.bytes_reserved }))
    }
}

fn mib(bytes: u64) -> f64 {
    (bytes as f64 / 1024.0 / 1024.0 * 10.0).round() / 10.0
}
