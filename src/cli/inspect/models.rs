use std::path::{Path, PathBuf};

use serde_json::Value;

use super::args::InspectArgs;
use crate::cli::config::{DataConfig, DistillConfig, MethodName};
use crate::cli::{models, parts_file};
use crate::data::Preprocess;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::export::STUDENT;
use crate::inspect::Comparison;
use crate::model::{ModelSpec, ResolvedModel, locate};
use crate::weights;

/// What a `singer distill` run was set to do.
pub(in crate::cli) struct Run {
    pub(super) folder: PathBuf,
    pub(in crate::cli) config: DistillConfig,
}

impl Run {
    /// Reads a run's `run.json`.
    pub(in crate::cli) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("run.json");
        let unusable = |reason: &str| {
            Error::data(
                &path,
                format!("{reason}; give the folder of a finished `singer distill` run"),
            )
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
        Ok(Self { folder: folder.to_owned(), config })
    }
}

/// The shapes of what is to be looked into; nothing is loaded yet.
pub(super) struct Shapes {
    pub(super) teacher: ResolvedModel,
    pub(super) student: Option<ResolvedModel>,
}

impl Shapes {
    pub(super) fn resolve(args: &InspectArgs, run: Option<&Run>) -> Result<Self> {
        let of_run = run.map(|run| run.config.teacher.clone()).unwrap_or_default();
        let teacher = shape("teacher", args.teacher.as_deref(), args.teacher_arch.clone(), of_run)?;
        let of_run = run.map(|run| ModelSpec::weights(run.folder.join(STUDENT)));
        let wanted = args.student.is_some() || of_run.is_some();
        let student = wanted
            .then(|| {
                let (file, arch) = (args.student.as_deref(), args.student_arch.clone());
                shape("student", file, arch, of_run.unwrap_or_default())
            })
            .transpose()?;
        Ok(Self { teacher, student })
    }

    /// How images are prepared for the teacher: as asked, as in the run, or as its
    /// files say.
    pub(super) fn preprocess(&self, data: &DataConfig) -> Result<Preprocess> {
        data.preprocess(self.teacher.preprocess()?)
    }

    /// Loads the models and what the run trained.
    pub(super) fn load(
        self,
        args: &InspectArgs,
        data: &DataConfig,
        run: Option<&Run>,
        device: &Device,
    ) -> Result<Comparison> {
        let teacher = models::load(self.teacher, data, device)?;
        let student = self.student.map(|student| {
            let student = models::load(student, &args.pixels.over(DataConfig::default())?, device)?;
            // A run's student saw what the teacher saw.
            Ok(match run {
                Some(_) => student.with_preprocess(*teacher.preprocess()),
                None => student,
            })
        });
        let compared = Comparison { student: student.transpose()?, ..Comparison::of(teacher) };
        match run {
            // Other methods than SiNGER have no refined features to show.
            Some(run) if run.config.method == MethodName::Singer => {
                compared.with_run(&parts_file::open(&run.folder)?, device)
            }
            _ => Ok(compared),
        }
    }
}

/// A model's file and shape: as given, else the run's.
fn shape(
    role: &str,
    file: Option<&Path>,
    arch: Option<String>,
    of_run: ModelSpec,
) -> Result<ResolvedModel> {
    let path = file.map(Path::to_owned).or_else(|| of_run.weights.clone()).ok_or_else(|| {
        Error::config(format!("no {role}: give --{role} (a file of weights, or hf-hub:OWNER/NAME)"))
    })?;
    let path = locate(&path, true)?;
    if file.is_none() && !path.exists() {
        return Err(Error::config(format!(
            "{}, the run's {role}, is not there; give --{role} with its place",
            path.display()
        )));
    }
    let named = ModelSpec { arch, weights: Some(path.clone()), ..ModelSpec::default() };
    let spec = match (&named.arch, weights::stored_config(&path)?, file) {
        (Some(_), ..) | (None, Some(_), Some(_)) => named,
        // The run knows what its file does not say.
        _ => ModelSpec { weights: Some(path), ..of_run },
    };
    models::resolve(&spec, role)
}
