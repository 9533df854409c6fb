use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::FloatDType;
use serde::Serialize;
use serde_json::json;

use super::args::DistillArgs;
use super::config::{self, DistillConfig, Override, Precision, Side};
use super::models::{self, Resolved};
use super::parts_file;
use super::run_folder::RunFolder;
use super::session;
use crate::distill::{BasisReport, Distiller, Settings, Trainee};
use crate::error::{Error, Result};
use crate::eval::{LayerNorms, distilled_norms};
use crate::train::{DistillTask, Record, RunSettings};
use crate::vit::Vit;
use crate::{device, weights};

/// Name of the student in a run's folder.
pub(super) const STUDENT: &str = "student.safetensors";

pub(super) fn run(args: DistillArgs) -> Result<ExitCode> {
    let mut overrides = session::overrides(&args.train)?;
    let mut add = |key: &str, value: Option<toml::Value>| {
        overrides.extend(value.map(|value| Override::new(key, value)));
    };
    let teacher = args.teacher.map(|path| path.to_string_lossy().into_owned());
    add("teacher.weights", teacher.map(Into::into));
    add("teacher.arch", args.teacher_arch.map(Into::into));
    add("student.arch", args.student.map(Into::into));
    add("singer.layers", args.layers.map(Into::into));
    add("singer.rank", args.rank.map(Into::into));
    add("singer.quantile", args.quantile.map(Into::into));
    add("singer.losses", args.losses.map(Into::into));
    add("singer.basis", args.basis.map(Into::into));
    add("precision", args.precision.map(Into::into));
    let config: DistillConfig = config::read(args.train.config.as_deref(), overrides)?;
    let stop = session::stop_flag(session::SAVING)?;
    let run = distill(&config, args.train.resume, &stop)?;
    Ok(if run.is_some() { ExitCode::SUCCESS } else { ExitCode::from(130) })
}

/// What a finished run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Patch norms of the distilled layers before training.
    pub(super) norms_at_start: Vec<LayerNorms>,
    /// The same after it.
    pub(super) norms: Vec<LayerNorms>,
    /// The first step's losses, where this process did it.
    pub(super) first: Option<Record>,
    /// The last step's losses.
    pub(super) last: Option<Record>,
    /// The student layer of each distilled one.
    pub(super) student_layers: Vec<usize>,
    /// Where the run's files lie.
    #[serde(skip)]
    pub(super) folder: PathBuf,
}

/// Runs a whole distillation; none where it was interrupted.
pub(super) fn distill(
    config: &DistillConfig,
    resume: bool,
    stop: &AtomicBool,
) -> Result<Option<Report>> {
    if config.teacher.weights.is_none() {
        return Err(Error::config(
            "no teacher: set teacher.weights or --teacher (a safetensors file with timm's names, or hf-hub:OWNER/NAME)",
        ));
    }
    let teacher_shape = models::resolve(&config.teacher, "teacher")?;
    let student_shape = student_shape(config, &teacher_shape)?;
    let size = student_shape.config.img_size;
    if teacher_shape.config.img_size != size {
        return Err(Error::config(format!(
            "the teacher takes {:?} pixels and the student {size:?}; set student.img_size to the teacher's",
            teacher_shape.config.img_size
        )));
    }
    let counts = |shape: &Resolved| (shape.config.prefix_tokens(), shape.config.patches());
    Distiller::check_tokens(counts(&teacher_shape), counts(&student_shape))?;
    let images =
        session::training_images(&config.data, session::scene_side(&student_shape.config))?;
    let normalise = session::normalise(&config.data, &teacher_shape.arch);
    let transform = session::train_transform(&config.data, size)?;
    let loader = session::loader(&config.data, &config.train, config.seed);
    let steps = session::steps(&config.train, images.len(), &loader)?;

    let opened = device::open(&config.device.0)?;
    let plain = &opened.device;
    let training = plain.clone().autodiff();
    let teacher = models::build(&teacher_shape, 0, plain)?;
    let student = models::build(&student_shape, config.seed, &training)?;
    let (task, model, basis) = prepare(teacher, student, config, &training)?;
    if config.precision == Precision::F16 && !device::supports_f16(plain) {
        return Err(Error::Device {
            wanted: config.device.0.clone(),
            reason: "it has no half precision; use precision = \"f32\"".into(),
        });
    }
    let parts = session::parts(config.train.threads, &opened);
    let mut folder = RunFolder::prepare(
        config.out.as_deref(),
        resume,
        "distill",
        &opened.name,
        config.seed,
        config,
    )?;
    folder.record("basis", &basis)?;
    announce(&task, &teacher_shape, &student_shape, &basis, &opened.name);

    let settings = RunSettings {
        out: folder.path.clone(),
        steps,
        optimizer: config.optimizer.clone(),
        schedule: config.schedule.clone(),
        clip: config.train.clip,
        log_every: config.train.log_every,
        checkpoint_every: config.train.checkpoint_every,
        description: description(config, &teacher_shape, &student_shape, &task, steps, parts),
        resume,
        image_size: size,
        loader,
        parts,
    };
    let measure_on = match &config.data.val {
        Some(place) => session::images(place, session::scene_side(&student_shape.config))?,
        None => images.clone(),
    };
    let batch = config.train.batch.min(64);
    let limit = Some(config.train.measure.max(1));
    let measure = session::eval_settings(&config.data, size, normalise, batch, limit);
    let norms = |model: &Trainee| {
        distilled_norms(&task.distiller, &model.valid(), &measure_on, &measure, plain)
    };
    let norms_at_start = norms(&model)?;
    folder.record("norms_at_start", &norms_at_start)?;

    let feed = (images, transform, normalise);
    let done = session::train_shown(&task, model, &training, feed, &settings, stop)?;
    let Some((trained, ends)) = done else { return Ok(None) };
    let trained_norms = norms(&trained)?;
    let trained = trained.valid();
    parts_file::save(&trained, &task.distiller, &folder.path)?;
    let file = folder.path.join(STUDENT);
    weights::save(&trained.student, &student_shape.arch, &student_shape.config, &file)?;
    let (first, last) = ends.unzip();
    let report = Report {
        norms_at_start,
        norms: trained_norms,
        first: first.filter(|record| record.step == 1),
        last,
        student_layers: task.distiller.student_layers().to_vec(),
        folder: folder.path.clone(),
    };
    folder.record("result", &report)?;
    folder.finish()?;
    print_report(&report, &file.display().to_string());
    Ok(Some(report))
}

/// A student without labels needs no head, and a new one's patches follow the
/// teacher's unless the settings say otherwise.
fn student_shape(config: &DistillConfig, teacher: &Resolved) -> Result<Resolved> {
    let mut spec = session::with_classes(&config.student, 0);
    if spec.weights.is_none() {
        spec.img_size = spec.img_size.or(Some(Side::Sides(teacher.config.img_size)));
        spec.patch_size = spec.patch_size.or(Some(teacher.config.patch_size));
    }
    models::resolve(&spec, "student")
}

fn prepare(
    teacher: Vit,
    student: Vit,
    config: &DistillConfig,
    training: &burn::tensor::Device,
) -> Result<(DistillTask, Trainee, Vec<BasisReport>)> {
    let settings: Settings = config.singer.clone();
    let layers = settings.resolve_layers(teacher.depth())?;
    let depth = student.depth();
    let (model, basis) = Trainee::new(student, &teacher, &layers, &settings, config.seed)?;
    let mut distiller = Distiller::new(teacher, depth, settings, training)?;
    if config.precision == Precision::F16 {
        distiller = distiller.with_teacher_precision(FloatDType::F16);
    }
    Ok((DistillTask { distiller }, model, basis))
}

fn announce(
    task: &DistillTask,
    teacher: &Resolved,
    student: &Resolved,
    basis: &[BasisReport],
    device: &str,
) {
    println!("distilling {} into {}, {device}", teacher.arch, student.arch);
    let mapped = task.distiller.student_layers();
    for (report, mapped) in basis.iter().zip(mapped) {
        println!(
            "layer {} -> student layer {mapped}: basis of block {}, residual {:.2e}, singular values {:.2e} to {:.2e}",
            report.layer, report.reader, report.residual, report.sigma_min, report.sigma_max
        );
        if report.random_columns > 0 {
            eprintln!(
                "singer: warning: layer {}: {} of the basis vectors are random, as too few singular values lie below singer.threshold",
                report.layer, report.random_columns
            );
        }
    }
}

fn print_report(report: &Report, student: &str) {
    for (before, after) in report.norms_at_start.iter().zip(&report.norms) {
        println!(
            "layer {}: largest over median patch norm, teacher {:.2}, refined {:.2} at the start and {:.2} now; patches above 3x the median: {:.2} % -> {:.2} %",
            after.layer,
            after.raw.max_over_median,
            before.refined.max_over_median,
            after.refined.max_over_median,
            after.raw.outlier_share * 100.0,
            after.refined.outlier_share * 100.0,
        );
    }
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        for term in ["kd", "outlier", "info"] {
            let value = |record: &Record| record.terms.get(term).copied().unwrap_or(f32::NAN);
            println!("{term} loss: {:.4} -> {:.4}", value(first), value(last));
        }
    }
    println!("wrote {student}");
}

/// What a checkpoint must agree with: all that changes the weights.
fn description(
    config: &DistillConfig,
    teacher: &Resolved,
    student: &Resolved,
    task: &DistillTask,
    steps: usize,
    parts: usize,
) -> String {
    json!({
        "command": "distill",
        "seed": config.seed,
        "precision": config.precision,
        "teacher": { "weights": config.teacher.weights, "shape": teacher.config },
        "student": { "weights": config.student.weights, "shape": student.config },
        "data": session::identity(&config.data),
        "singer": task.distiller.settings(),
        "batch": config.train.batch,
        "steps": steps,
        "parts": parts,
        "clip": config.train.clip,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
    })
    .to_string()
}
