use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::DistillArgs;
use super::config::{self, DistillConfig, MethodName, Override, Precision};
use super::methods::{self, Measure, Models, Prepared};
use super::preprocessing::preprocess;
use super::run_folder::RunFolder;
use super::{models, parts_file, session, shapes};
use crate::data::{ImageSet, Normalise, Split};
use crate::device::Device;
use crate::distill::singer::{BasisReport, LayerNorms};
use crate::distill::{Distillation, Mapping, Method, with_last_layer};
use crate::error::{Error, Result};
use crate::eval::{accuracy, last_block_norms};
use crate::export::STUDENT;
use crate::model::{Model, ResolvedModel};
use crate::tokens::NormSummary;
use crate::train::{Record, RunSettings};

pub(super) fn run(args: DistillArgs) -> Result<ExitCode> {
    let mut overrides = session::overrides(&args.train)?;
    let mut add = |key: &str, value: Option<toml::Value>| {
        overrides.extend(value.map(|value| Override::new(key, value)));
    };
    let teacher = args.teacher.map(|path| path.to_string_lossy().into_owned());
    add("teacher.weights", teacher.map(Into::into));
    add("teacher.arch", args.teacher_arch.map(Into::into));
    add("student.arch", args.student.map(Into::into));
    add("method", args.method.map(Into::into));
    add("label_weight", args.label_weight.map(Into::into));
    add("singer.layers", args.layers.map(Into::into));
    add("singer.mapping", args.mapping.map(Into::into));
    add("singer.rank", args.rank.map(Into::into));
    add("singer.quantile", args.quantile.map(Into::into));
    add("singer.losses", args.losses.map(Into::into));
    add("singer.basis", args.basis.map(Into::into));
    let adapters = args.adapters.map(|path| path.to_string_lossy().into_owned());
    add("adapters", adapters.map(Into::into));
    add("precision", args.precision.map(Into::into));
    let config: DistillConfig = config::read(args.train.config.as_deref(), overrides)?;
    let stop = session::stop_flag(session::SAVING)?;
    let run = distill(&config, args.train.resume, &stop)?;
    Ok(if run.is_some() { ExitCode::SUCCESS } else { ExitCode::from(130) })
}

/// What a finished run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Patch norms of the distilled layers before training, where the method
    /// refines them.
    pub(super) norms_at_start: Vec<LayerNorms>,
    /// The same after it.
    pub(super) norms: Vec<LayerNorms>,
    /// Patch norms of the student's last block.
    pub(super) student_norms: Option<NormSummary>,
    /// Share of the measured images that a trained head puts into their class.
    pub(super) val_accuracy: Option<f64>,
    /// The first step's losses, where this process did it.
    pub(super) first: Option<Record>,
    /// The last step's losses.
    pub(super) last: Option<Record>,
    /// The student's layers that learn from the teacher's.
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
    if config.adapters.is_some() && config.method != MethodName::Singer {
        return Err(Error::config(
            "`adapters` are SiNGER's: leave them out, or set method = \"singer\"",
        ));
    }
    let go = Run { config, resume, stop };
    match config.method {
        MethodName::Singer => go.with(methods::singer),
        MethodName::Fitnet => go.with(methods::fitnet),
        MethodName::Vitkd => go.with(methods::vitkd::<true>),
        MethodName::VitkdReference => go.with(methods::vitkd::<false>),
        MethodName::Kd => go.with(methods::kd),
        MethodName::None => go.with(methods::labels_only),
    }
}

/// A run to be done.
struct Run<'a> {
    config: &'a DistillConfig,
    resume: bool,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// All that is the same for every method.
    fn with<M: Method>(
        self,
        prepare: impl FnOnce(Models<'_>) -> Result<Prepared<M>>,
    ) -> Result<Option<Report>> {
        let config = self.config;
        let teacher_shape = shapes::teacher(config)?;
        let side = |shape: &ResolvedModel| session::scene_side(&shape.config);
        // The number of classes decides on the student's head, and nothing else.
        let shape = shapes::student(config, teacher_shape.as_ref(), None)?;
        let images = session::training_images(&config.data, side(&shape))?;
        let classes = images.classes().len();
        let student_shape = shapes::student(config, teacher_shape.as_ref(), Some(classes))?;
        let size = student_shape.config.img_size;
        let seen_as = teacher_shape.as_ref().unwrap_or(&student_shape);
        let preprocess = preprocess(&config.data, seen_as)?;
        let transform = session::train_transform(&config.data, size)?;
        let loader = session::loader(&config.data, &config.train, config.seed);
        let steps = session::steps(&config.train, images.len(), &loader)?;

        let opened = Device::open(&config.device.0)?;
        let plain = opened.burn();
        let training = plain.clone().autodiff();
        let teacher = match (&teacher_shape, config.method) {
            (Some(shape), method) if method != MethodName::None => {
                Some(models::build(shape, 0, plain)?)
            }
            _ => None,
        };
        let student = models::build(&student_shape, config.seed, &training)?;
        let grid = student_shape.config.grid();
        let models = Models { teacher, student, config, grid, training: &training };
        let Prepared { method, model, bases, norms } = prepare(models)?;
        let task = Distillation { method, label_weight: config.label_weight };
        if config.precision == Precision::F16 && !opened.supports_f16() {
            return Err(Error::Device {
                wanted: config.device.0.clone(),
                reason: "it has no half precision; use precision = \"f32\"".into(),
            });
        }
        let shards = session::shards(config.train.threads, &opened);
        let mut folder = RunFolder::prepare(
            config.out.as_deref(),
            self.resume,
            "distill",
            opened.name(),
            config.seed,
            config,
        )?;
        folder.record("preprocess", preprocess)?;
        folder.record("basis", &bases)?;
        announce(config.method, teacher_shape.as_ref(), &student_shape, opened.name());
        announce_bases(&bases, task.method.student_layers());
        warn_untrained(task.untrained_blocks(student_shape.config.depth));

        let settings = RunSettings {
            out: folder.path.clone(),
            steps,
            optimizer: config.optimizer.clone(),
            schedule: config.schedule.clone(),
            clip: config.train.clip,
            log_every: config.train.log_every,
            checkpoint_every: config.train.checkpoint_every,
            description: description(
                config,
                preprocess.normalise,
                teacher_shape.as_ref(),
                &student_shape,
                steps,
                shards,
            ),
            resume: self.resume,
            image_size: size,
            loader,
            shards,
        };
        let validation = config.data.val.as_deref();
        let validation = validation
            .map(|place| session::images(place, Split::Val, side(&student_shape)))
            .transpose()?;
        let batch = config.train.batch.min(64);
        let limited = |limit| session::eval_settings(&config.data, size, &preprocess, batch, limit);
        let measure = Measure {
            images: validation.clone().unwrap_or_else(|| images.clone()),
            settings: limited(Some(config.train.measure.max(1))),
            device: plain,
        };
        let norms_at_start = norms(&task.method, &model.valid(), &measure)?;
        folder.record("norms_at_start", &norms_at_start)?;

        let feed = (images, transform, preprocess.normalise);
        let done = session::train_shown(&task, model, &training, feed, &settings, self.stop)?;
        let Some((trained, ends)) = done else { return Ok(None) };
        let trained = trained.valid();
        let layers = match &teacher_shape {
            Some(teacher) => with_last_layer(&config.singer.layers, teacher.config.depth)?,
            None => Vec::new(),
        };
        parts_file::save(&task.method, &trained, &layers, &folder.path)?;
        let student = task.method.student(&trained);
        let file = folder.path.join(STUDENT);
        // The student sees what the teacher saw, whatever its own name's weights do.
        let ResolvedModel { arch, config: shape, .. } = student_shape.clone();
        Model::from_parts(student.clone(), arch, shape, preprocess).save(&file)?;
        let knows = |set: &&ImageSet| set.classes().len() <= student_shape.config.num_classes;
        let labelled = validation.as_ref().filter(|_| task.trains_head()).filter(knows);
        let (first, last) = ends.unzip();
        let report = Report {
            norms_at_start,
            norms: norms(&task.method, &trained, &measure)?,
            student_norms: last_block_norms(student, &measure.images, &measure.settings, plain)?,
            val_accuracy: labelled
                .map(|set| accuracy(student, set, &limited(None), plain))
                .transpose()?,
            first: first.filter(|record| record.step == 1),
            last,
            student_layers: task.method.student_layers().to_vec(),
            folder: folder.path.clone(),
        };
        folder.record("result", &report)?;
        folder.finish()?;
        print_report(&report, &file.display().to_string());
        Ok(Some(report))
    }
}

fn announce(
    method: MethodName,
    teacher: Option<&ResolvedModel>,
    student: &ResolvedModel,
    device: &str,
) {
    match (method, teacher) {
        (MethodName::None, _) | (_, None) => {
            println!("training {} on labels alone, {device}", student.arch);
        }
        (MethodName::Singer, Some(teacher)) => {
            println!("distilling {} into {}, {device}", teacher.arch, student.arch);
        }
        (method, Some(teacher)) => {
            let name = json!(method);
            let name = name.as_str().unwrap_or_default();
            println!("distilling {} into {} by {name}, {device}", teacher.arch, student.arch);
        }
    }
}

fn announce_bases(bases: &[BasisReport], student_layers: &[usize]) {
    for (report, mapped) in bases.iter().zip(student_layers) {
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

fn warn_untrained(blocks: Range<usize>) {
    if !blocks.is_empty() {
        eprintln!(
            "singer: warning: the student's blocks {} to {} get no gradient: no layer of the teacher is mapped to them \
             (singer.mapping = \"last\" trains all blocks)",
            blocks.start,
            blocks.end - 1
        );
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
    if let Some(norms) = &report.student_norms {
        println!(
            "student: largest over median patch norm {:.2}; patches above 3x the median: {:.2} %",
            norms.max_over_median,
            norms.outlier_share * 100.0
        );
    }
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        for (term, before) in &first.terms {
            let after = last.terms.get(term).copied().unwrap_or(f32::NAN);
            println!("{term}: {before:.4} -> {after:.4}");
        }
    }
    if let Some(accuracy) = report.val_accuracy {
        println!("validation accuracy {:.2} %", accuracy * 100.0);
    }
    println!("wrote {student}");
}

/// What a checkpoint must agree with: all that changes the weights.
fn description(
    config: &DistillConfig,
    normalise: Normalise,
    teacher: Option<&ResolvedModel>,
    student: &ResolvedModel,
    steps: usize,
    shards: usize,
) -> String {
    let singer = &config.singer;
    let mut method = match config.method {
        MethodName::Singer => json!({ "singer": singer }),
        MethodName::Fitnet => {
            json!({ "layers": singer.layers, "mapping": singer.mapping, "fitnet": config.fitnet })
        }
        MethodName::Vitkd | MethodName::VitkdReference => {
            json!({ "layers": singer.layers, "mapping": singer.mapping, "vitkd": config.vitkd })
        }
        MethodName::Kd => json!({ "kd": config.kd }),
        MethodName::None => json!({}),
    };
    // Checkpoints of runs from before there was a choice go on with the reference's mapping.
    if singer.mapping == Mapping::Reference {
        for settings in method.as_object_mut().into_iter() {
            settings.remove("mapping");
            if let Some(singer) = settings.get_mut("singer").and_then(Value::as_object_mut) {
                singer.remove("mapping");
            }
        }
    }
    let teacher = teacher.filter(|_| config.method != MethodName::None);
    json!({
        "command": "distill",
        "method": config.method,
        "label_weight": config.label_weight,
        "seed": config.seed,
        "precision": config.precision,
        "teacher": teacher.map(|teacher| json!({ "weights": config.teacher.weights, "shape": teacher.config })),
        "student": { "weights": config.student.weights, "shape": student.config },
        "data": session::identity(&config.data, normalise),
        "settings": method,
        "batch": config.train.batch,
        "steps": steps,
        "parts": shards,
        "clip": config.train.clip,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
    })
    .to_string()
}
