use super::{Comparison, Framing, Inspection};
use crate::device::Device;
use crate::error::Result;
use crate::model::{Model, ModelSpec, ResolvedModel};
use crate::run::{DataConfig, RunRecord};

/// The models of a [`Comparison`] whose weights are not read yet.
///
/// ```no_run
/// use singer::Device;
/// use singer::inspect::ModelsToCompare;
/// use singer::run::RunRecord;
///
/// let models = ModelsToCompare::of_run(RunRecord::open("runs/small")?)?;
/// let (inspection, framing) = (models.inspection(), models.framing()?);
/// let compared = models.load(&Device::open("auto")?)?;
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModelsToCompare {
    /// The teacher.
    pub teacher: ResolvedModel,
    /// Its student; `None` to inspect the teacher alone.
    pub student: Option<ResolvedModel>,
    /// The distillation that refined the teacher's features, where there was one.
    pub run: Option<RunRecord>,
    /// Departures from how the models' own files prepare images.
    pub data: DataConfig,
}

impl ModelsToCompare {
    /// A teacher, and its student where there is one, without a run.
    pub fn new(teacher: ResolvedModel, student: Option<ResolvedModel>) -> Self {
        Self { teacher, student, run: None, data: DataConfig::default() }
    }

    /// The teacher and the student of a run.
    ///
    /// # Errors
    /// Those of [`ModelSpec::resolve`](crate::model::ModelSpec::resolve).
    pub fn of_run(run: RunRecord) -> Result<Self> {
        let teacher = run.config.teacher.resolve_for("teacher")?;
        let student = ModelSpec::weights(run.student_file()).resolve()?;
        let data = run.config.data.clone();
        Ok(Self { teacher, student: Some(student), run: Some(run), data })
    }

    /// The default inspection, with quantile and rank of the run.
    pub fn inspection(&self) -> Inspection {
        let Some(run) = &self.run else { return Inspection::default() };
        let rank = run.config.singer.rank.min(self.teacher.config.embed_dim);
        Inspection {
            quantile: run.config.singer.quantile,
            rank: Some(rank),
            ..Inspection::default()
        }
    }

    /// Pictures as the teacher takes them.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for a config file beside the weights that asks
    /// for an unknown step.
    pub fn framing(&self) -> Result<Framing> {
        let preprocess = self.data.preprocess(self.teacher.preprocess()?)?;
        Ok(Framing::new(&self.teacher.config, preprocess.interpolation))
    }

    /// Loads the models and, of a SiNGER run, adapters and projections.
    ///
    /// # Errors
    /// Those of [`Model::open`](crate::Model::open) and [`Comparison::with_run`].
    pub fn load(self, device: &Device) -> Result<Comparison> {
        let Self { teacher, student, run, data } = self;
        let load = |model: ResolvedModel| -> Result<Model> {
            let preprocess = data.preprocess(model.preprocess()?)?;
            Ok(model.load(0, device)?.with_preprocess(preprocess))
        };
        let mut compared = Comparison::of(load(teacher)?);
        if let Some(student) = student {
            let student = load(student)?;
            // A run's student saw what the teacher saw.
            let preprocess =
                run.as_ref().map_or(*student.preprocess(), |_| *compared.teacher.preprocess());
            compared = compared.with_student(student.with_preprocess(preprocess));
        }
        // Of others there are no refined features to show.
        let run = run.filter(RunRecord::has_adapters);
        match run.map(|run| run.parts()).transpose()?.flatten() {
            Some(parts) => compared.with_run(&parts, device),
            None => Ok(compared),
        }
    }
}
