use std::path::Path;

use super::args::InspectArgs;
use crate::cli::models;
use crate::data::Preprocess;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::inspect::Comparison;
use crate::model::{ModelSpec, ResolvedModel, locate};
use crate::run::{DataConfig, MethodKind, RunRecord};
use crate::weights;

/// The shapes of what is to be looked into; nothing is loaded yet.
pub(super) struct Shapes {
    pub(super) teacher: ResolvedModel,
    pub(super) student: Option<ResolvedModel>,
}

impl Shapes {
    pub(super) fn resolve(args: &InspectArgs, run: Option<&RunRecord>) -> Result<Self> {
        let of_run = run.map(|run| run.config.teacher.clone()).unwrap_or_default();
        let teacher = shape("teacher", args.teacher.as_deref(), args.teacher_arch.clone(), of_run)?;
        let of_run = run.map(|run| ModelSpec::weights(run.student_file()));
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
        run: Option<&RunRecord>,
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
        // Other methods than SiNGER have no refined features to show.
        match run.filter(|run| run.config.method == MethodKind::Singer) {
            Some(run) => match run.parts()? {
                Some(parts) => compared.with_run(&parts, device),
                None => Ok(compared),
            },
            None => Ok(compared),
        }
    }
}

/// A model's file and shape: as given, else the run's.
fn shape(
    role: &'static str,
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
