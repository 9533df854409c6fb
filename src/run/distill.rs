use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::module::Module;
use serde_json::{Value, json};

use super::folder::RunFolder;
use super::methods::{self, Measure, Models, Prepared};
use super::refinement::{self, ReadAnew};
use super::teacher_cache::TeacherCacheFolder;
use super::{
    DistillConfig, Measurements, MethodKind, RefineKind, Run, loss_scale, ranks, run_train, shapes,
};
use crate::data::{ImageSet, Images, Normalise, PassedOver};
use crate::device::{Compiler, Device, TestedPrecision};
use crate::distill::singer::{BasisReport, SingerSettings};
use crate::distill::{
    Distance, Distillation, Mapping, Method, TeacherCache, save_parts, with_last_layer,
};
use crate::error::{Error, Result};
use crate::export::{Card, Provenance, STUDENT};
use crate::model::{ImageSize, Model, ModelSpec, ResolvedModel};
use crate::ops::Precision;
use crate::probe::{ModelKey, accuracy, in_classes, last_block_norms};
use crate::refine::nullspace::BasisKind;
use crate::refine::{Adapters, ClosedForm, Refiner, RegisterNeuron};
use crate::train::{Progress, Ranks, TrainSettings};
use crate::vit::VitConfig;

/// A distillation to run: what `singer distill` does, without flags and printing.
///
/// ```no_run
/// use singer::{Device, Distill, ImageSet, Model};
///
/// # fn main() -> singer::Result<()> {
/// let teacher = Model::open("hf-hub:facebook/dinov2-large", &Device::open("auto")?)?;
/// let run = Distill::singer(&teacher, "vit_small_patch14_dinov2")
///     .images(ImageSet::open("photos/")?)
///     .layers([17])
///     .steps(10_000)
///     .out("runs/small")
///     .run(|_| {})?;
/// println!("{:?}", run.measurements().student_norms);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Distill {
    config: DistillConfig,
    teacher: Option<Model>,
    images: Option<Images>,
    validation: Option<Images>,
    adapters: Option<Adapters>,
    resume: bool,
    stop: Arc<AtomicBool>,
    teacher_cache: Option<(PathBuf, u64)>,
    ranks: Ranks,
}

/// Progress of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Models and images are open; training begins.
    Start(&'a Start),
    /// The closed form of the teacher's refinement is being estimated.
    ClosedForm {
        /// Blocks done.
        done: usize,
        /// The teacher's blocks.
        blocks: usize,
    },
    /// Some steps are done.
    Step(&'a Progress<'a>),
    /// Training has ended, and these images could not be read.
    PassedOver(&'a PassedOver),
}

/// The state in which a run starts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Start {
    /// How the student is taught; none in supervised training.
    pub method: Option<MethodKind>,
    /// The teacher's name, where there is one.
    pub teacher: Option<String>,
    /// Name of the model that is trained.
    pub model: String,
    /// Its number of parameters.
    pub parameters: usize,
    /// The shape of the model that takes most of the work: the teacher's, where there is one.
    pub shape: VitConfig,
    /// The device's name.
    pub device: String,
    /// What the device's kernels are compiled to; none on the CPU.
    pub compiler: Option<Compiler>,
    /// What products are computed in, after a self-test.
    pub precision: TestedPrecision,
    /// Number of images; none where it is known only when their shards are read.
    pub images: Option<usize>,
    /// Shards that they are streamed from; 0 where they are a set.
    pub data_shards: usize,
    /// Their number of classes.
    pub classes: usize,
    /// How many files beside them are images in formats that cannot be read, by ending.
    pub left_out: BTreeMap<String, usize>,
    /// Steps in all.
    pub steps: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Processes that share it.
    pub ranks: usize,
    /// What is done to the teacher's features.
    pub refine: RefineKind,
    /// What the closed form found; none where it was given, or found before the run was
    /// resumed.
    pub closed: Option<ClosedForm>,
    /// The hidden units that act on a test-time register; empty for other refinements, and
    /// where there are no outliers.
    pub register_neurons: Vec<RegisterNeuron>,
    /// The bases from which the adapters start; empty where adapters were given and for
    /// methods other than SiNGER.
    pub bases: Vec<BasisReport>,
    /// The student's layers that learn from the teacher's, in their order.
    pub student_layers: Vec<usize>,
    /// The student's blocks that get no gradient.
    pub untrained: Range<usize>,
    /// What no file states about the models and was assumed, each with the weights concerned.
    pub assumed: Vec<(PathBuf, String)>,
    /// What a resumed run computes in another way than before, which changes its results by
    /// no more than rounding: the precision, the micro-batches.
    pub changed: Vec<String>,
}

impl Distill {
    /// Distils a teacher's features, refined by SiNGER, into a student: a timm name or a
    /// [`ModelSpec`]. By default the student's image and patch size are the teacher's.
    pub fn singer(teacher: &Model, student: impl Into<ModelSpec>) -> Self {
        Self::by(MethodKind::Singer, teacher, student)
    }

    /// Distils by another method in the same loop.
    pub fn by(method: MethodKind, teacher: &Model, student: impl Into<ModelSpec>) -> Self {
        let config = DistillConfig { method, student: student.into(), ..DistillConfig::default() };
        Self { teacher: Some(teacher.clone()), ..Self::from_config(config) }
    }

    /// From a configuration, which states everything that no other method of the builder
    /// gives.
    pub fn from_config(config: DistillConfig) -> Self {
        Self {
            config,
            teacher: None,
            images: None,
            validation: None,
            adapters: None,
            resume: false,
            stop: Arc::default(),
            teacher_cache: None,
            ranks: Ranks::default(),
        }
    }

    /// The images to train on. Labels are used only with a
    /// [`label_weight`](Self::label_weight) above 0 or [`MethodKind::None`].
    #[must_use]
    pub fn images(self, images: impl Into<Images>) -> Self {
        Self { images: Some(images.into()), ..self }
    }

    /// Images to measure on at the end; the training images by default.
    #[must_use]
    pub fn validation(self, images: impl Into<Images>) -> Self {
        Self { validation: Some(images.into()), ..self }
    }

    /// Adapters to start from, as [`fit`](super::fit) gives them, instead of the nullspace.
    #[must_use]
    pub fn adapters(self, adapters: Adapters) -> Self {
        Self { adapters: Some(adapters), ..self }
    }

    /// Intermediate teacher blocks to learn from, from 0; the last one is always added.
    #[must_use]
    pub fn layers(self, layers: impl Into<Vec<usize>>) -> Self {
        self.configure(|config| config.singer.layers = layers.into())
    }

    /// Height and width of the images in pixels; the teacher's own by default. The teacher's
    /// positions are resampled, and the student is trained and saved for this size.
    #[must_use]
    pub fn size(self, size: [usize; 2]) -> Self {
        let size = Some(ImageSize::Sides(size));
        self.configure(|config| (config.teacher.img_size, config.student.img_size) = (size, size))
    }

    /// Steps in all; by default the paper's 100 passes over the images.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        self.configure(|config| config.train.steps = Some(steps))
    }

    /// Images in a batch; 64 by default.
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        self.configure(|config| config.train.batch = batch)
    }

    /// Weight of the cross-entropy with labels beside the method's loss; 0 by default.
    #[must_use]
    pub fn label_weight(self, weight: f64) -> Self {
        self.configure(|config| config.label_weight = weight)
    }

    /// Seed of weights, order and augmentation.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.configure(|config| config.seed = seed)
    }

    /// Output folder.
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Self {
        self.configure(|config| config.out = Some(folder.into()))
    }

    /// Changes any setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut DistillConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The settings.
    pub fn config(&self) -> &DistillConfig {
        &self.config
    }

    /// Resumes from the folder's checkpoint, if there is one.
    #[must_use]
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// A flag that stops training after the step in which it is set; a checkpoint is written.
    #[must_use]
    pub fn stop(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// A folder in which what the teacher computes of a batch is kept for other runs, until it
    /// holds this many bytes. Runs of one seed see the same batches whatever their method, so one
    /// of them computes and the others read, with the same bits; the folder may go when they are
    /// done. Only on the CPU: a GPU computes a teacher's features faster than it moves them.
    #[must_use]
    pub fn teacher_cache(self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        Self { teacher_cache: Some((folder.into(), bytes)), ..self }
    }

    /// Trains with other ranks, each of which runs the same distillation on its device and has
    /// its share of every batch. The first one alone measures and writes; what the others give
    /// has its measurements, and no adapters where they do not see the folder.
    #[must_use]
    pub fn ranks(self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self }
    }

    /// Trains to the end, measures, and writes the run's folder.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Setting`] for settings that cannot work,
    /// [`Error::ImageSizes`], [`Error::Tokens`], [`Error::Classes`] and
    /// [`Error::TooManyLayers`] for a student that does not fit the teacher,
    /// [`Error::RunExists`], [`Error::OtherRun`], [`Error::Interrupted`] where
    /// [`stop`](Self::stop) was set, [`Error::NotFinite`]; errors of data, files and the
    /// device.
    pub fn run(self, mut report: impl FnMut(Event<'_>)) -> Result<Run> {
        let devices = ranks::devices(&self.config.device.0);
        if devices.len() == 1 {
            return self.run_here(&mut report);
        }
        let given = self.teacher.is_some();
        ranks::on_devices(&self.ranks, &devices, given, &mut report, |ranks, device, report| {
            let run = self.clone().ranks(ranks).configure(|config| config.device = device);
            run.run_here(report)
        })
    }

    fn run_here(mut self, report: &mut dyn FnMut(Event<'_>)) -> Result<Run> {
        ranks::check_alike(&self.ranks, &self.config)?;
        if let Some(size) = self.config.teacher.img_size {
            let resized = self.teacher.map(|teacher| teacher.with_size(size.sides()));
            self.teacher = resized.transpose()?;
        }
        if let (None, Some(path)) = (&self.adapters, &self.config.adapters) {
            self.adapters = Some(Adapters::open(path, Device::cpu().burn())?);
        }
        let kind = refinement::kind(&self.config, self.adapters.as_ref());
        let kind = kind.map_err(|error| of_file(error, &self.config))?;
        self.config.refine = Some(kind);
        match self.config.method {
            MethodKind::Singer => match kind {
                RefineKind::Published | RefineKind::Trained => self.train(methods::singer, report),
                _ => self.train(methods::singer_frozen, report),
            },
            MethodKind::Fitnet => self.train_by_features(Distance::Mse, report),
            MethodKind::Cosine => self.train_by_features(Distance::Cosine, report),
            MethodKind::Normalised => self.train_by_features(Distance::Normalised, report),
            MethodKind::Relational => self.train(methods::relational, report),
            MethodKind::Proteus => self.train(methods::proteus, report),
            MethodKind::Vitkd => self.train(methods::vitkd::<true>, report),
            MethodKind::VitkdReference => self.train(methods::vitkd::<false>, report),
            MethodKind::Kd => self.train(methods::kd, report),
            MethodKind::None => self.train(methods::labels_only, report),
        }
    }

    fn train_by_features(
        self,
        distance: Distance,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Run> {
        self.train(|models| methods::features(models, distance), report)
    }

    /// The teacher's name and shape; none where the method needs none and none is given.
    fn teacher(&self) -> Result<Option<ResolvedModel>> {
        if let Some(teacher) = &self.teacher {
            return Ok(Some(teacher.resolved()));
        }
        match (&self.config.teacher.weights, self.config.method) {
            (None, MethodKind::None) => Ok(None),
            (None, _) => Err(Error::Missing("teacher")),
            _ => self.config.teacher.resolve_for("teacher").map(Some),
        }
    }

    /// All that is the same for every method.
    fn train<M: Method>(
        self,
        prepare: impl FnOnce(Models<'_>) -> Result<Prepared<M>>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Run> {
        let since = Instant::now();
        let config = &self.config;
        let ranks = &self.ranks;
        if let Some(out) = config.out.as_ref().filter(|_| ranks.is_first()) {
            RunFolder::check_free(out, self.resume)?;
        }
        let teacher_shape = self.teacher()?;
        // The number of classes decides on the student's head, and nothing else.
        let shape = shapes::student(config, teacher_shape.as_ref(), None)?;
        let scenes = shape.config.img_size.into_iter().max().unwrap_or_default();
        let labelled = config.label_weight > 0.0 || config.method == MethodKind::None;
        let images = config.data.training_images(self.images.as_ref(), labelled, scenes)?;
        let classes = images.classes().len();
        let student_shape = shapes::student(config, teacher_shape.as_ref(), Some(classes))?;
        let size = student_shape.config.img_size;
        let seen_as = teacher_shape.as_ref().unwrap_or(&student_shape);
        let preprocess = config.data.preprocess(seen_as.preprocess()?)?;
        let transform = config.data.train_transform(size)?;
        let loader = config.train.loader(&config.data, config.seed);
        let steps = config.train.steps(images.len(), &loader)?;
        config.optimizer.check()?;

        let validation =
            config.data.validation_images(self.validation.as_ref(), labelled, scenes)?;
        let validation = validation.map(|set| in_classes(&set, images.classes())).transpose()?;

        let device = match &self.teacher {
            Some(teacher) => Device::of(&teacher.vit().device()),
            None => ranks::device(ranks, &config.device.0)?,
        };
        let precision = config.precision.on(&device)?;
        ranks.check_alike(&json!({ "precision": precision.precision }).to_string())?;
        let loss_scale = loss_scale(precision.precision);
        let (plain, training) = (device.burn(), device.autodiff());
        let teacher = match (&self.teacher, &teacher_shape, config.method) {
            (_, _, MethodKind::None) => None,
            (Some(teacher), ..) => Some(teacher.vit().clone()),
            (None, Some(shape), _) => Some(shape.build(0, plain)?),
            (None, None, _) => None,
        };
        let student = student_shape.build(config.seed, &training)?;
        for model in teacher.iter().chain([&student]) {
            model.check_range(precision.precision)?;
        }
        let student = student.with_precision(precision.precision);
        let refine = config.refine.unwrap_or(RefineKind::None);
        let adapters = self.adapters.as_ref().map(|adapters| adapters.on(plain));
        let batch = config.train.batch.min(64);
        let limited = |limit| config.data.eval_settings(size, &preprocess, batch, limit);
        let for_basis = refine.is_trained() && config.singer.basis == BasisKind::Data;
        let frozen = refine != RefineKind::None && !refine.is_trained();
        let few = config.closed.images.max(1);
        let set = (frozen || for_basis).then(|| images.clone().into_set(Some(few)));
        let set = set.transpose()?;
        let few = set.as_ref().map(|set| ReadAnew::new(set, &limited(None), few, plain));
        let (refiner, closed) = match (&teacher, &few) {
            (Some(teacher), Some(few)) if frozen => {
                let resumed = config.out.as_deref().filter(|_| self.resume);
                let (given, normalise) = (adapters.as_ref(), preprocess.normalise);
                let on = (teacher, few, ranks);
                refinement::refiner(refine, config, given, on, normalise, resumed, report)
                    .map_err(|error| of_file(error, config))?
            }
            _ => (None, None),
        };
        let parameters = student.num_params();
        let cache = match (&self.teacher_cache, &teacher, &teacher_shape) {
            (Some((folder, bytes)), Some(teacher), Some(shape)) if device.is_cpu() => {
                let key = json!([ModelKey::new(teacher, &shape.config)?, precision.precision]);
                let cache = TeacherCacheFolder::new(folder, *bytes, key.to_string());
                Some(Arc::new(cache) as Arc<dyn TeacherCache>)
            }
            _ => None,
        };
        let models = Models {
            teacher,
            student,
            config,
            precision: precision.precision,
            adapters: adapters.as_ref(),
            refiner: refiner.clone(),
            images: few.as_ref(),
            grid: student_shape.config.grid(),
            count: images.len(),
            training: &training,
            cache,
        };
        let prepared = prepare(models).map_err(|error| of_file(error, config));
        let Prepared { method, model, bases, norms } = prepared?;
        let task = Distillation { method, label_weight: config.label_weight };
        let shards = ranks::shards(ranks, &config.train, &device)?;
        let out = config.out.as_deref();
        let mut folder = ranks::folder(ranks, shards, out, || {
            let (name, seed) = (device.name(), config.seed);
            RunFolder::prepare(out, self.resume, "distill", name, seed, config, since)
        })?;
        folder.record("precision", precision.precision)?;
        folder.record("compiler", device.capabilities().compiler)?;
        folder.record("preprocess", preprocess)?;
        folder.record("basis", &bases)?;
        match &closed {
            Some(found) if ranks.is_first() => {
                folder.record("closed_form", &found.blocks)?;
                refinement::keep(found, &folder.path)?;
            }
            _ => folder.keep("closed_form")?,
        }
        folder.record("teacher", teacher_shape.as_ref().map(|teacher| &teacher.arch))?;
        let assumed = teacher_shape.iter().chain([&student_shape]).flat_map(|shape| {
            let weights = shape.weights().map_or_else(|| shape.arch.clone().into(), PathBuf::from);
            shape.assumed().iter().map(move |line| (weights.clone(), line.clone()))
        });
        let depth = student_shape.config.depth;
        let changed = folder.changed();
        report(Event::Start(&Start {
            changed,
            method: Some(config.method),
            teacher: teacher_shape.as_ref().map(|shape| shape.arch.clone()),
            model: student_shape.arch.clone(),
            parameters,
            shape: seen_as.config.clone(),
            device: device.name().to_owned(),
            compiler: device.capabilities().compiler,
            precision,
            images: images.len(),
            data_shards: images.shards(),
            classes,
            left_out: images.left_out(),
            steps,
            batch: config.train.batch,
            ranks: ranks.count(),
            refine,
            closed,
            register_neurons: match &refiner {
                Some(Refiner::Registers(registers)) => registers.neurons().to_vec(),
                _ => Vec::new(),
            },
            bases,
            student_layers: task.method.student_layers().to_vec(),
            untrained: task.untrained_blocks(depth),
            assumed: assumed.collect(),
        }));

        let normalise = preprocess.normalise;
        let settings = TrainSettings {
            optimizer: config.optimizer.clone(),
            schedule: config.schedule.clone(),
            description: description(
                config,
                normalise,
                teacher_shape.as_ref(),
                &student_shape,
                steps,
            ),
            resume: self.resume,
            loader,
            shards,
            loss_scale,
            ranks: ranks.clone(),
            ..config.train.settings(&folder.path, steps)
        };
        let measure = || {
            let most = Some(config.train.measure.max(1));
            let images = match &validation {
                Some(validation) => validation.clone(),
                None => images.clone().into_set(most)?,
            };
            Ok::<_, Error>(Measure { images, settings: limited(most), device: plain })
        };
        let measure = ranks.is_first().then(measure).transpose()?;
        let norms_at_start = match &measure {
            Some(measure) => norms(&task.method, &model.valid(), measure)?,
            None => Vec::new(),
        };
        folder.record("norms_at_start", &norms_at_start)?;

        let feed = (images, transform, normalise);
        let outcome = run_train(&task, model, &training, feed, &settings, &self.stop, report);
        folder.write()?;
        let (trained, ends) = outcome?;
        let trained = trained.valid();
        let layers = match (&teacher_shape, config.method) {
            (None, _) => Vec::new(),
            (Some(teacher), MethodKind::Relational | MethodKind::Proteus) => {
                vec![teacher.config.depth - 1]
            }
            (Some(teacher), _) => with_last_layer(&config.singer.layers, teacher.config.depth)?,
        };
        let closed = match &refiner {
            Some(Refiner::ClosedForm(adapters)) => Some(adapters),
            _ => None,
        };
        if ranks.is_first() {
            save_parts(&task.method, &trained, &layers, closed, &folder.path)?;
        }
        let vit = &task.method.student(&trained).clone().with_precision(Precision::F32);
        // The student sees what the teacher saw, whatever its own name's weights do.
        let ResolvedModel { arch, config: shape, .. } = &student_shape;
        let student = Model::from_parts(vit.clone(), arch, shape.clone(), preprocess);
        if ranks.is_first() {
            student.save(folder.path.join(STUDENT))?;
        }
        let knows = |set: &&ImageSet| set.has_labels() && set.classes().len() <= shape.num_classes;
        let labelled = validation.as_ref().filter(|_| task.trains_head()).filter(knows);
        let (first, last) = ends.unzip();
        let measured = measure.map(|measure| {
            let accuracy = |set| accuracy(vit, set, &limited(None), plain);
            let measurements = Measurements {
                norms_at_start,
                norms: norms(&task.method, &trained, &measure)?,
                student_norms: last_block_norms(vit, &measure.images, &measure.settings, plain)?,
                val_accuracy: labelled.map(accuracy).transpose()?,
                first: first.filter(|record| record.step == 1),
                last,
                student_layers: task.method.student_layers().to_vec(),
            };
            folder.record("result", &measurements)?;
            folder.finish()?;
            Ok(measurements)
        });
        let measurements = ranks::first_result(ranks, measured)?;
        let card = match ranks.is_first() {
            true => Provenance::of(&folder.path)?.card(),
            false => Card::default(),
        };
        Run::new(folder.path, self.config, student.with_card(card), measurements)
    }
}

/// Names the file where an error is about the adapters in it.
fn of_file(error: Error, config: &DistillConfig) -> Error {
    match (error, &config.adapters) {
        (Error::Adapters(reason), Some(path)) => {
            Error::Adapters(format!("{}: {reason}", path.display()))
        }
        (other, _) => other,
    }
}

/// What a checkpoint must agree with: all that changes the weights by more than rounding.
fn description(
    config: &DistillConfig,
    normalise: Normalise,
    teacher: Option<&ResolvedModel>,
    student: &ResolvedModel,
    steps: usize,
) -> String {
    let singer @ SingerSettings { layers, mapping, .. } = &config.singer;
    let mut method = match config.method {
        MethodKind::Singer if config.refine == Some(RefineKind::None) => {
            json!({ "layers": layers, "mapping": mapping, "kd": singer.weights.kd })
        }
        MethodKind::Singer => json!({ "singer": singer }),
        MethodKind::Fitnet => {
            json!({ "layers": layers, "mapping": mapping, "fitnet": config.fitnet })
        }
        MethodKind::Cosine => {
            json!({ "layers": layers, "mapping": mapping, "cosine": config.cosine })
        }
        MethodKind::Normalised => {
            json!({ "layers": layers, "mapping": mapping, "normalised": config.normalised })
        }
        MethodKind::Relational => json!({ "relational": config.relational }),
        MethodKind::Proteus => json!({ "proteus": config.proteus }),
        MethodKind::Vitkd | MethodKind::VitkdReference => {
            json!({ "layers": layers, "mapping": mapping, "vitkd": config.vitkd })
        }
        MethodKind::Kd => json!({ "kd": config.kd }),
        MethodKind::None => json!({}),
    };
    match config.refine {
        Some(RefineKind::Closed) => method["refine"] = json!({ "closed": config.closed }),
        Some(RefineKind::Trained) => method["refine"] = "trained".into(),
        Some(RefineKind::Neighbours) => {
            method["refine"] = json!({ "neighbours": config.neighbours });
        }
        Some(RefineKind::Registers) => {
            method["refine"] = json!({ "registers": config.registers });
        }
        Some(RefineKind::Averaged) => method["refine"] = json!({ "averaged": config.averaged }),
        // As in runs from before there was a choice, which have no such key.
        _ => method["refine"] = Value::Null,
    }
    // Checkpoints of runs from before there was a choice go on with the reference's mapping.
    if *mapping == Mapping::Reference
        && let Some(settings) = method.as_object_mut()
    {
        settings.remove("mapping");
        if let Some(singer) = settings.get_mut("singer").and_then(Value::as_object_mut) {
            singer.remove("mapping");
        }
    }
    let teacher = teacher.filter(|_| config.method != MethodKind::None);
    let weights = |teacher: &ResolvedModel| {
        let given = config.teacher.weights.as_deref();
        given.or(teacher.weights()).map(std::path::Path::to_owned)
    };
    let keyed = |mut model: Value, key: Option<&str>| {
        if let Some(key) = key {
            model["weights_key"] = key.into();
        }
        model
    };
    let student = keyed(
        json!({ "weights": config.student.weights, "shape": student.config }),
        student.weights_key(),
    );
    let teacher = teacher.map(|teacher| {
        keyed(
            json!({ "weights": weights(teacher), "shape": teacher.config }),
            teacher.weights_key(),
        )
    });
    json!({
        "command": "distill",
        "method": config.method,
        "label_weight": config.label_weight,
        "seed": config.seed,
        "teacher": teacher,
        "student": student,
        "data": config.data.identity(normalise),
        "settings": method,
        "batch": config.train.batch,
        "steps": steps,
        "clip": config.train.clip,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
    })
    .to_string()
}
