use std::path::Path;

use super::args::InspectArgs;
use crate::cli::models;
use crate::error::{Error, Result};
use crate::inspect::ModelsToCompare;
use crate::model::{ModelSpec, ResolvedModel, locate};
use crate::run::RunRecord;
use crate::weights;

/// The models that flags and run name; nothing is loaded yet.
pub(super) fn resolve(args: &InspectArgs) -> Result<ModelsToCompare> {
    let run = args.run.as_deref().map(RunRecord::open).transpose()?;
    let of_run = run.as_ref().map(|run| run.config.teacher.clone()).unwrap_or_default();
    let teacher = shape("teacher", args.teacher.as_deref(), args.teacher_arch.clone(), of_run)?;
    let of_run = run.as_ref().map(|run| ModelSpec::weights(run.student_file()));
    let student = (args.student.is_some() || of_run.is_some()).then(|| {
        let (file, arch) = (args.student.as_deref(), args.student_arch.clone());
        shape("student", file, arch, of_run.unwrap_or_default())
    });
    let data = run.as_ref().map(|run| run.config.data.clone()).unwrap_or_default();
    let data = args.pixels.over(data)?;
    Ok(ModelsToCompare { teacher, student: student.transpose()?, run, data })
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
