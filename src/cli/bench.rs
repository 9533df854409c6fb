//! `singer bench`: measures, and prints JSON.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device as BurnDevice, Distribution, Tensor};
use serde_json::{Value, json};
use statrs::statistics::{Data, Median};

use super::args::BenchArgs;
use super::bench_trace::trace;
use super::{bench_data, bench_memory, models};
use crate::device::Device;
use crate::distill::singer::{Singer, SingerModel, SingerSettings};
use crate::distill::{Distillation, check_tokens};
use crate::error::{Error, Result};
use crate::model::{ImageSize, ModelSpec, ResolvedModel};
use crate::ops::Precision;
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection};
use crate::train::{OptimizerSettings, ParamOptimizer, Shards};
use crate::vit::{VitConfig, init_weights};

pub(super) fn run(args: &BenchArgs) -> Result<ExitCode> {
    if !args.data.is_empty() {
        return bench_data::run(args);
    }
    let began = Instant::now();
    let opened = Device::open(&args.device)?;
    let device = opened.burn();
    if args.batch == 0 || args.runs == 0 || args.accumulate == 0 {
        return Err(Error::config("--batch, --accumulate and --runs must be at least 1"));
    }
    if let Some(weights) = &args.load {
        return loading(weights, &opened, args.runs);
    }
    if args.trace && opened.is_cpu() {
        return Err(Error::config("--trace counts the work of a GPU; choose one with --device"));
    }
    let tested = args.precision.on(&opened)?;
    if let Some(test) = &tested.failed {
        note!("singer: warning: {test}; going on in {}", tested.precision);
    }
    let precision = tested.precision;
    let threads = args.threads.unwrap_or_else(|| opened.shards());
    if args.memory {
        return bench_memory::run(args, &opened, precision, threads);
    }
    let Subject { task, mut model, training, teacher, student } =
        Subject::new(args, device, precision)?;
    let layers = task.method.refinement().layers().to_vec();
    let images = images(args, device)?;
    let shards = Shards::new(threads)?.accumulate(args.accumulate).recompute(args.recompute);
    let labels = vec![0; args.batch];
    log::info!("teacher and student are built after {:.1} s", began.elapsed().as_secs_f64());
    let forward = timed(args.runs, || {
        let features = shards.map(args.batch, |range| {
            let images = images.clone().narrow(0, range.start, range.len());
            task.method.refinement().features(images).layers.pop()
        });
        features.into_iter().try_for_each(|features| wait(device, features))
    })?;
    log::info!("the teacher has passed after {:.1} s", began.elapsed().as_secs_f64());
    let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
    let mut issue_step = || {
        let (_, grads) = shards.backward(&task, &model, &training, &images, &labels, 0);
        model = optimizer.step(1e-4, model.clone(), grads, None);
        model.student.patch_embed.proj.weight.val().inner().flatten::<3>(2, 3)
    };
    let step = timed(args.runs, || wait(device, Some(issue_step())))?;
    let peak = peak_memory_mib();
    let counted = args.trace.then(|| trace(|| drop(issue_step()), || synchronise(device)));
    let beside = !args.step_only;
    let nullspace = beside.then(|| nullspace_times(args.rank, args.runs));
    let product = beside.then(|| matmul_rate(device, args.runs));
    let report = json!({
        "device": opened.name(),
        "teacher": teacher,
        "student": student,
        "batch": args.batch,
        "accumulate": args.accumulate,
        "recompute": args.recompute,
        "layers": layers,
        "rank": args.rank,
        "runs": args.runs,
        "threads": threads,
        "precision": precision,
        "step": speed(&step, args.batch),
        "teacher_forward": speed(&forward, args.batch),
        "trace": counted.transpose()?,
        "nullspace": nullspace.transpose()?,
        "matmul_gflops": product.transpose()?,
        "peak_memory_mib": peak,
    });
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// What is trained for a benchmark: SiNGER with new weights.
pub(super) struct Subject {
    pub(super) task: Distillation<Singer>,
    pub(super) model: SingerModel,
    /// The autodiff device.
    pub(super) training: BurnDevice,
    /// The teacher's name.
    pub(super) teacher: String,
    /// The student's name.
    pub(super) student: String,
}

impl Subject {
    pub(super) fn new(args: &BenchArgs, device: &BurnDevice, precision: Precision) -> Result<Self> {
        let [teacher, student] = specs(args)?;
        let teacher = models::resolve(&teacher, "teacher")?;
        let student = models::resolve(&student, "student")?;
        let tokens = |shape: &ResolvedModel| [shape.config.prefix_tokens(), shape.config.patches()];
        check_tokens(tokens(&teacher), tokens(&student))?;
        let settings = settings(args, teacher.config.depth);
        let training = device.clone().autodiff();
        let (method, model, _) = Singer::new(
            models::build(&teacher, 1, device)?,
            models::build(&student, 2, &training)?.with_precision(precision),
            &settings,
            3,
        )?;
        let task = Distillation::new(method.with_teacher_precision(precision));
        Ok(Self { task, model, training, teacher: teacher.arch, student: student.arch })
    }
}

/// Teacher and student without heads; the student's patches follow the teacher's, as in a run.
pub(super) fn specs(args: &BenchArgs) -> Result<[ModelSpec; 2]> {
    let without_head =
        |name: &str| ModelSpec { num_classes: Some(0), ..ModelSpec::named(name.to_owned()) };
    let teacher = without_head(&args.teacher);
    let shape = models::resolve(&teacher, "teacher")?.config;
    let student = ModelSpec {
        img_size: Some(ImageSize::Sides(shape.img_size)),
        patch_size: Some(shape.patch_size),
        ..without_head(&args.student)
    };
    Ok([teacher, student])
}

/// The method's settings for a teacher of `depth` blocks.
pub(super) fn settings(args: &BenchArgs, depth: usize) -> SingerSettings {
    let layer = args.layer.unwrap_or(depth * 17 / 24).min((depth - 1).saturating_sub(1));
    SingerSettings { layers: vec![layer], rank: args.rank, ..SingerSettings::default() }
}

/// A batch of noise of the teacher's size, `[B, 3, H, W]`.
pub(super) fn images(args: &BenchArgs, device: &BurnDevice) -> Result<Tensor<4>> {
    let [teacher, _] = specs(args)?;
    let [height, width] = models::resolve(&teacher, "teacher")?.config.img_size;
    let noise = Distribution::Normal(0.0, 1.0);
    Ok(Tensor::random([args.batch, 3, height, width], noise, device))
}

/// Times how long a checkpoint takes from its name to a model on the device.
fn loading(weights: &Path, opened: &Device, runs: usize) -> Result<ExitCode> {
    let mut arch = String::new();
    let seconds = timed(runs, || {
        let resolved = models::resolve(&ModelSpec::weights(weights), "model")?;
        let model = models::build(&resolved, 0, opened.burn())?;
        arch = resolved.arch;
        wait(opened.burn(), Some(model.patch_embed.proj.weight.val().flatten(2, 3)))
    })?;
    let report = json!({
        "device": opened.name(),
        "model": arch,
        "runs": runs,
        "load_median_s": median(&seconds.runs),
        "load_min_s": seconds.runs.iter().copied().fold(f64::INFINITY, f64::min),
        "peak_memory_mib": peak_memory_mib(),
    });
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// Seconds that work took: the first time, with what it compiles, and each time after.
struct Timed {
    first: f64,
    runs: Vec<f64>,
}

fn timed(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Timed> {
    let mut once = || {
        let start = Instant::now();
        work()?;
        Ok(start.elapsed().as_secs_f64())
    };
    Ok(Timed { first: once()?, runs: (0..runs).map(|_| once()).collect::<Result<_>>()? })
}

/// Waits until the device has computed a tensor.
pub(super) fn wait(device: &BurnDevice, tensor: Option<Tensor<3>>) -> Result<()> {
    tensor.map(|tensor| crate::readback::read(tensor.sum())).transpose()?;
    synchronise(device)
}

fn synchronise(device: &BurnDevice) -> Result<()> {
    device.sync().map_err(|error| Error::gpu("waiting", &error.to_string()))
}

fn speed(seconds: &Timed, batch: usize) -> Value {
    let Timed { first, runs } = seconds;
    let median = median(runs);
    json!({
        "first_s": first,
        "median_s": median,
        "min_s": runs.iter().copied().fold(f64::INFINITY, f64::min),
        "max_s": runs.iter().copied().fold(0.0, f64::max),
        "images_per_second": batch as f64 / median,
    })
}

pub(super) fn median(values: &[f64]) -> f64 {
    Data::new(values.to_vec()).median()
}

/// Basis of a block as wide as ViT-L's, with new weights.
fn nullspace_times(rank: usize, runs: usize) -> Result<Value> {
    let config = VitConfig {
        img_size: [16, 16],
        embed_dim: 1024,
        depth: 1,
        num_heads: 16,
        ..VitConfig::default()
    };
    let model = init_weights(config.build(&BurnDevice::flex())?, 4);
    let matrix = Linearised::of(&model.blocks[0]);
    let rank = rank.min(config.embed_dim);
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed: 0 };
    let seconds = timed(runs, || Basis::select(&matrix, &selection, 0).map(drop))?;
    Ok(json!({ "dim": config.embed_dim, "rank": rank, "median_s": median(&seconds.runs) }))
}

/// The device's rate for a plain 1024³ product, as the yardstick of a step.
fn matmul_rate(device: &BurnDevice, runs: usize) -> Result<f64> {
    let side = 1024;
    let matrix = Tensor::<3>::random([1, side, side], Distribution::Default, device);
    let seconds = timed(runs, || wait(device, Some(matrix.clone().matmul(matrix.clone()))))?;
    Ok(2.0 * (side as f64).powi(3) / median(&seconds.runs) / 1e9)
}

/// The process's largest resident size, where the system tells (Linux).
pub(super) fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
