//! A teacher and its student looked at on images.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::json;
use singer::Device;
use singer::inspect::{
    Comparison, Framing, Inspection, ModelsToCompare, VisualKind, open_pictures,
};
use singer::report::make_folder;
use singer::run::{RefineKind, RunRecord};

use crate::adapters::Adapters;
use crate::error::{raised, setting};
use crate::images::Images;
use crate::job;
use crate::model::Model;

/// What is looked at.
#[derive(FromPyObject)]
pub(crate) enum Subject {
    Teacher(Py<Model>),
    /// A run's folder, and a device.
    Run(PathBuf, String),
}

/// Writes the report into the folder `out`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are keywords of the Python function")]
pub(crate) fn inspect(
    py: Python<'_>,
    subject: Subject,
    student: Option<Py<Model>>,
    images: Images,
    layers: Vec<usize>,
    adapters: Option<Py<Adapters>>,
    refine: Vec<String>,
    maps: Vec<String>,
    inject: bool,
    limit: usize,
    out: PathBuf,
    report: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let kind = |name: &String| {
        serde_json::from_value::<RefineKind>(json!(name))
            .map_err(|error| setting(py, format!("refine: {error}")))
    };
    let kinds = refine.iter().map(kind).collect::<PyResult<Vec<_>>>()?;
    // Norms at other input sizes need pictures of those.
    let visual = |name: &String| {
        let kind = serde_json::from_value::<VisualKind>(json!(name)).ok();
        kind.filter(|kind| *kind != VisualKind::Sizes).ok_or_else(|| {
            setting(py, format!("maps: {name}; use pca, attention, segments or nearest"))
        })
    };
    let visuals = maps.iter().map(visual).collect::<PyResult<Vec<_>>>()?;
    let student = student.map(|student| student.get().inner.clone());
    let mut inspection = Inspection::default();
    inspection.layers = layers;
    inspection.inject = inject;
    inspection.visuals = visuals;
    let (compared, device) = match subject {
        Subject::Teacher(teacher) => {
            let teacher = teacher.get();
            (Ok(Comparison::of(teacher.inner.clone())), teacher.device.clone())
        }
        Subject::Run(folder, device) => {
            let device = raised(py, Device::open(&device))?;
            let models = RunRecord::open(folder).and_then(ModelsToCompare::of_run);
            let models = raised(py, models)?;
            let own = models.inspection();
            (inspection.quantile, inspection.rank) = (own.quantile, own.rank);
            (py.detach(|| models.load(&device)), device)
        }
    };
    let mut compared = raised(py, compared)?;
    if let Some(student) = student {
        compared = compared.with_student(student);
    }
    if let Some(adapters) = adapters {
        let adapters = adapters.get().inner.on(device.burn());
        compared = raised(py, compared.with_adapters(adapters))?;
    }
    let framing = Framing::of(&compared.teacher);
    let side = compared.teacher.config().img_size.into_iter().max().unwrap_or_default();
    let images = images.open(py, limit)?.with_scene_side(side);
    job::run(py, report, move |_| {
        let (pictures, left_out) = open_pictures(&[images], framing, limit)?;
        for kind in kinds {
            compared = compared.treated(kind, &pictures)?;
        }
        let mut findings = inspection.run(&compared, &pictures, &device)?;
        findings.notes.extend(left_out.iter().map(|error| format!("Left out: {error}.")));
        make_folder(&out)?;
        singer::report::inspect::write(&findings, &device, &out).map(drop)
    })
}
