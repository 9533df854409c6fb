use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::Value;

use super::args::InspectArgs;
use crate::cli::config::{DataConfig, DistillConfig, MethodName};
use crate::cli::models;
use crate::cli::parts_file;
use crate::cli::preprocessing::preprocess;
use crate::data::{Normalise, Preprocess};
use crate::error::{Error, Result};
use crate::export::STUDENT;
use crate::inspect::{LayerParts, Model, Subjects};
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
        let of_run = run.map(|run| ModelSpec {
            weights: Some(run.folder.join(STUDENT)),
            ..ModelSpec::default()
        });
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
    pub(super) fn preprocess(&self, args: &InspectArgs, run: Option<&Run>) -> Result<Preprocess> {
        let data = run.map(|run| run.config.data.clone()).unwrap_or_default();
        preprocess(&args.pixels.over(data)?, &self.teacher)
    }

    /// Loads the models and what the run trained.
    pub(super) fn load(
        self,
        args: &InspectArgs,
        seen: &Preprocess,
        run: Option<&Run>,
        device: &Device,
    ) -> Result<Subjects> {
        let teacher = model(self.teacher, seen.normalise, device)?;
        let student = self.student.map(|student| {
            // A run's student saw what the teacher saw.
            let normalise = match run {
                Some(_) => seen.normalise,
                None => {
                    let data = args.pixels.over(DataConfig::default())?;
                    preprocess(&data, &student)?.normalise
                }
            };
            model(student, normalise, device)
        });
        let parts = run.map(|run| layer_parts(run, teacher.vit.depth(), device)).transpose()?;
        Ok(Subjects { teacher, student: student.transpose()?, run: parts.unwrap_or_default() })
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

fn model(shape: ResolvedModel, normalise: Normalise, device: &Device) -> Result<Model> {
    let vit = models::build(&shape, 0, device)?;
    Ok(Model { name: shape.arch, vit, config: shape.config, normalise })
}

/// What SiNGER trained by layer; other methods have no refined features to show.
fn layer_parts(run: &Run, depth: usize, device: &Device) -> Result<Vec<LayerParts>> {
    if run.config.method != MethodName::Singer {
        return Ok(Vec::new());
    }
    let file = parts_file::open(&run.folder)?;
    let layers = file.layers()?;
    if let Some(layer) = layers.iter().find(|&&layer| layer >= depth) {
        return Err(Error::config(format!(
            "{}: the run refines layer {layer}, and the teacher's are 0 to {}; give the teacher of that run",
            run.folder.display(),
            depth - 1
        )));
    }
    let parts = layers.into_iter().map(|layer| {
        let (adapter, projection) = (file.adapter(layer, device)?, file.projection(layer, device)?);
        Ok(LayerParts { layer, adapter, projection })
    });
    parts.collect()
}
