use std::path::Path;

use super::args::InspectArgs;
use crate::cli::models;
use crate::error::{Error, Result};
use crate::inspect::ModelsToCompare;
use crate::model::{ModelSpec, ResolvedModel};
use crate::run::RunRecord;
use crate::weights;

/// The models that flags and run name; nothing is loaded yet.
pub(super) fn resolve(args: &InspectArgs) -> Result<ModelsToCompare> {
    let run = args.run.as_deref().map(RunRecord::open).transpose()?;
    let of_run = run.as_ref().map(|run| run.config.teacher.clone()).unwrap_or_default();
    let given = Given {
        file: args.teacher.as_deref(),
        arch: args.teacher_arch.clone(),
        key: args.weights_key.clone(),
    };
    let teacher = shape("teacher", given, of_run)?;
    let of_run = run.as_ref().map(|run| ModelSpec::weights(run.student_file()));
    let student = (args.student.is_some() || of_run.is_some()).then(|| {
        let given = Given {
            file: args.student.as_deref(),
            arch: args.student_arch.clone(),
            key: args.student_weights_key.clone(),
        };
        shape("student", given, of_run.unwrap_or_default())
    });
    let data = run.as_ref().map(|run| run.config.data.clone()).unwrap_or_default();
    let data = args.pixels.over(data)?;
    Ok(ModelsToCompare { teacher, student: student.transpose()?, run, data })
}

/// What the flags say of a model.
struct Given<'a> {
    file: Option<&'a Path>,
    arch: Option<String>,
    key: Option<String>,
}

/// A model's file and shape: as given, else the run's.
fn shape(role: &'static str, given: Given<'_>, of_run: ModelSpec) -> Result<ResolvedModel> {
    let Given { file, arch, key } = given;
    let path = file.map(Path::to_owned).or_else(|| of_run.weights.clone()).ok_or_else(|| {
        Error::config(format!("no {role}: give --{role} (a file of weights, or hf-hub:OWNER/NAME)"))
    })?;
    let path = models::found(&path)?;
    if file.is_none() && !path.exists() {
        return Err(Error::config(format!(
            "{}, the run's {role}, is not there; give --{role} with its place",
            path.display()
        )));
    }
    let weights_key = key.or_else(|| of_run.weights_key.clone().filter(|_| file.is_none()));
    let named = ModelSpec { arch, weights_key, ..ModelSpec::weights(&path) };
    let spec = match (&named.arch, weights::stored_config(&path)?, file) {
        (Some(_), ..) | (None, Some(_), Some(_)) => named,
        // The run knows what its file does not say.
        _ => ModelSpec { weights: named.weights, weights_key: named.weights_key, ..of_run },
    };
    models::resolve(&spec, role)
}
