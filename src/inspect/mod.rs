//! Looking into a teacher, its refinement and its student on images.
//!
//! [`inspect`] passes images of any patch grid through the models, batch by
//! batch, and gives [`Findings`]: norms, similarities, where outliers are, what
//! the blocks that read the features would pass on, and what becomes of the
//! teacher when changed features are put back into it ([`inject`]).

mod batches;
mod controls;
mod findings;
mod injection;
mod norms;
mod pass;
mod settings;
mod statistics;
mod subjects;

pub use batches::MOST_PATCHES;
pub use controls::{clipped, masked};
pub use findings::{
    BlockDrift, DepthRow, DepthSeries, Findings, Histogram, ImageFindings, Injection,
    LayerFindings, LogitDrift, Map, MapKind, PositionShare, Spectrum,
};
pub use injection::{Drift, inject};
pub use settings::Settings;
pub use subjects::{LayerParts, Model, Picture, Subjects};

use crate::device::Device;
use crate::error::Result;
use crate::maps::FeatureMaps;
use crate::nullspace::{Basis, BasisKind, Selection, linearise, reader_of};
use crate::refine::TrainingFree;
use batches::batches;
use norms::NormTable;
use pass::Pass;

/// Looks into `subjects`, which are on `device`, on
/// `pictures`. Memory holds one batch's tokens of the inspected layers.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) where settings, models and pictures
/// do not fit; [`Error::Svd`](crate::Error::Svd).
pub fn inspect(
    subjects: &Subjects,
    pictures: &[Picture],
    settings: &Settings,
    device: &Device,
    maps: &FeatureMaps,
) -> Result<Findings> {
    subjects.check(settings, pictures)?;
    let patch = subjects.teacher.config.patch_size;
    let batches = batches(pictures, patch, settings)?;
    let bases = settings.layers.iter().map(|&layer| reader(subjects, settings, layer));
    let bases = bases.collect::<Result<Vec<_>>>()?;
    let form =
        |basis| settings.training_free.map(|share| TrainingFree::new(basis, share, device.burn()));
    let mut pass = Pass {
        subjects,
        settings,
        device: device.burn(),
        maps,
        student_layers: subjects.student_layers(&settings.layers)?,
        closed_forms: bases.iter().map(|(_, basis)| form(basis)).collect(),
        norms: NormTable::new(settings.quantile),
        drifts: Vec::new(),
        images: Vec::new(),
    };
    for batch in &batches {
        pass.look(batch)?;
    }
    let Pass { student_layers, norms, drifts, mut images, .. } = pass;
    images.sort_by_key(|(index, _)| *index);
    let layers = || settings.layers.iter().copied().zip(student_layers.iter().copied());
    let models = std::iter::once(("teacher", &subjects.teacher))
        .chain(subjects.student.as_ref().map(|student| ("student", student)));
    Ok(Findings {
        models: models.map(|(role, model)| (role.to_owned(), model.name.clone())).collect(),
        device: device.name().to_owned(),
        quantile: settings.quantile,
        layers: settings.layers.clone(),
        images: images.into_iter().map(|(_, findings)| findings).collect(),
        depth: norms.depth(),
        histograms: layers().flat_map(|(layer, mapped)| norms.histograms(layer, mapped)).collect(),
        positions: layers().flat_map(|(layer, mapped)| norms.positions(layer, mapped)).collect(),
        spectra: bases.into_iter().map(|(spectrum, _)| spectrum).collect(),
        injections: drifts
            .iter()
            .map(|(layer, method, drift)| drift.injection(*layer, method))
            .collect(),
        notes: subjects.notes(settings),
    })
}

/// The block that reads a layer, linearised, and the basis of its left nullspace.
fn reader(subjects: &Subjects, settings: &Settings, layer: usize) -> Result<(Spectrum, Basis)> {
    let teacher = &subjects.teacher.vit;
    let block = reader_of(layer, teacher.depth());
    let rank = settings.rank;
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed: 0 };
    let basis = Basis::select(linearise(&teacher.blocks[block]).as_ref(), &selection, block)?;
    Ok((Spectrum { layer, block, values: basis.spectrum.clone(), rank }, basis))
}
