//! Whole runs, without flags and printing: [`Distill`], [`Pretrain`] and [`fit`] do what the
//! program's commands of these names do, and [`Run`] is a distillation that is done.

mod config;
mod distill;
mod fit;
pub(crate) mod folder;
mod methods;
mod places;
mod plan;
mod pretrain;
pub(crate) mod ranks;
mod refinement;
pub(crate) mod settings_file;
mod shapes;
mod teacher_cache;

pub use config::{
    DataConfig, DeviceName, DistillConfig, MethodKind, PrecisionChoice, PretrainConfig, RefineKind,
    TrainConfig,
};
pub use distill::{Distill, Event, Start};
pub use fit::{batches, closed_form, fit};
pub use places::Places;
pub use plan::{ImageBytes, Plan};
pub use pretrain::{Pretrain, Pretrained};
pub use refinement::treatment;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device as BurnDevice;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Images, Normalise, Transform};
use crate::device::Device;
use crate::distill::singer::LayerNorms;
use crate::error::{Error, Result};
use crate::export::{RUN_FILE, STUDENT};
use crate::model::Model;
use crate::ops::Precision;
use crate::readback::named_parameters;
use crate::refine::{Adapters, PartsFile};
use crate::tokens::NormSummary;
use crate::train::{
    Feed, LossScaleSettings, Outcome, Progress, Record, Task, TrainSettings, train,
};

/// What a finished distillation measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurements {
    /// Patch norms of the distilled layers before training, where the method refines them.
    pub norms_at_start: Vec<LayerNorms>,
    /// The same after it.
    pub norms: Vec<LayerNorms>,
    /// Patch norms of the student's last block.
    pub student_norms: Option<NormSummary>,
    /// Top-1 accuracy of a trained head on the validation images.
    pub val_accuracy: Option<f64>,
    /// The losses of the first step, if the process that finished the run computed it.
    pub first: Option<Record>,
    /// The losses of the last step.
    pub last: Option<Record>,
    /// The student's layers that learn from the teacher's, in the order of the teacher's.
    pub student_layers: Vec<usize>,
}

/// A finished distillation.
#[derive(Debug)]
pub struct Run {
    record: RunRecord,
    student: Model,
    adapters: Option<Adapters>,
    measurements: Measurements,
}

/// The record of a finished distillation, read from its folder without any weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunRecord {
    /// The folder.
    pub folder: PathBuf,
    /// The settings.
    pub config: DistillConfig,
}

impl RunRecord {
    /// Reads a run's `run.json`.
    ///
    /// # Errors
    /// [`Error::Data`] where the folder is not that of a finished distillation.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        read_record(folder.as_ref()).map(|(record, _)| record)
    }

    /// What was trained besides the student; none where the method trains nothing else.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a damaged file.
    pub fn parts(&self) -> Result<Option<PartsFile>> {
        PartsFile::of_run(&self.folder)
    }

    /// Whether its file holds adapters, in closed form or trained.
    pub(crate) fn has_adapters(&self) -> bool {
        match self.config.refine {
            Some(kind) => kind == RefineKind::Closed || kind.is_trained(),
            // A run from before there was a choice.
            None => self.config.method == MethodKind::Singer,
        }
    }

    /// The student's weights.
    pub fn student_file(&self) -> PathBuf {
        self.folder.join(STUDENT)
    }
}

fn read_record(folder: &Path) -> Result<(RunRecord, Value)> {
    let path = folder.join(RUN_FILE);
    let unusable = |reason: &str| {
        Error::data(&path, format!("{reason}; give the folder of a finished distillation"))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| unusable(&error.to_string()))?;
    let mut run: Value = serde_json::from_str(&text)
        .map_err(|error| unusable(&format!("it is damaged ({error})")))?;
    if run["command"] != "distill" {
        return Err(unusable("it is not a distillation's"));
    }
    let config = serde_json::from_value(run["config"].take())
        .map_err(|error| unusable(&format!("its config is damaged ({error})")))?;
    if !folder.join(STUDENT).exists() {
        return Err(unusable("the run has no student yet"));
    }
    Ok((RunRecord { folder: folder.to_owned(), config }, run["result"].take()))
}

impl Run {
    fn new(
        folder: PathBuf,
        config: DistillConfig,
        student: Model,
        measurements: Measurements,
    ) -> Result<Self> {
        let record = RunRecord { folder, config };
        let adapters = if record.has_adapters() { record.parts()? } else { None };
        let adapters = adapters.map(|parts| parts.adapters(&student.vit().device())).transpose()?;
        Ok(Self { record, student, adapters, measurements })
    }

    /// Opens the folder of a finished distillation.
    ///
    /// # Errors
    /// [`Error::Data`] where it is not one, [`Error::Checkpoint`] for damaged files.
    pub fn open(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let (record, result) = read_record(folder)?;
        let measurements = serde_json::from_value(result).map_err(|error| {
            let reason = format!("its result is damaged ({error}); give a finished run's folder");
            Error::data(folder.join(RUN_FILE), reason)
        })?;
        let student = Model::open(folder, device)?;
        Self::new(record.folder, record.config, student, measurements)
    }

    /// The student; its exports carry a model card of the run.
    pub fn student(&self) -> &Model {
        &self.student
    }

    /// The teacher's adapters, in closed form or as trained with the student; none where nothing
    /// was refined.
    pub fn adapters(&self) -> Option<&Adapters> {
        self.adapters.as_ref()
    }

    /// What was measured.
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// The settings.
    pub fn config(&self) -> &DistillConfig {
        &self.record.config
    }

    /// Where the run's files are.
    pub fn folder(&self) -> &Path {
        &self.record.folder
    }
}

/// How the loss is scaled where gradients are in f16; bfloat16 has f32's range.
fn loss_scale(precision: Precision) -> Option<LossScaleSettings> {
    (precision == Precision::F16).then(LossScaleSettings::default)
}

/// A trained model with the first and the last step's records of this process, where it did
/// any.
type Trained<M> = (M, Option<(Record, Record)>);

/// Trains to the end.
fn run_train<T: Task>(
    task: &T,
    model: T::Model,
    device: &BurnDevice,
    (images, transform, normalise): (Images, Transform, Normalise),
    settings: &TrainSettings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Trained<T::Model>> {
    let feed = Feed { images, transform, normalise };
    let mut passed_over = None;
    let mut step = |progress: Progress<'_>| {
        passed_over.clone_from(&progress.passed_over);
        report(Event::Step(&progress));
    };
    let (model, outcome) = train(task, model, device, feed, settings, stop, &mut step)?;
    if let Some(passed_over) = &passed_over {
        report(Event::PassedOver(passed_over));
    }
    match outcome {
        Outcome::Finished { ends } => {
            check_finite(&model, settings.steps)?;
            Ok((model, ends))
        }
        Outcome::Interrupted { step, rank } => {
            let rank = settings.ranks.several().then_some(rank);
            Err(Error::Interrupted { step, steps: settings.steps, rank })
        }
    }
}

/// The last step's loss is that of the weights before it.
fn check_finite<M: Module>(model: &M, step: usize) -> Result<()> {
    for (name, data) in named_parameters(model)? {
        if let Some(value) = data.iter::<f32>().find(|value| !value.is_finite()) {
            return Err(Error::NotFiniteWeights { step, name, value });
        }
    }
    Ok(())
}
