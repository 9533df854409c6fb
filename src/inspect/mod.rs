//! Inspecting the features of a teacher, its refinement and its student on images.
//!
//! [`open_pictures`] frames images of any size, [`Inspection::run`] passes them
//! through the models, batch by batch, and gives [`Findings`]: norms, similarities,
//! where outliers are, spectra of the blocks that read the features, and how far the
//! teacher's outcome moves when changed features are put back into it ([`inject`]).
//! `report::inspect` (feature `figures`) writes them as a page with figures.
//!
//! ```
//! use singer::data::ImageSet;
//! use singer::inspect::{Comparison, Framing, Inspection, TEACHER, open_pictures};
//! use singer::{Device, Model};
//!
//! let device = Device::open("cpu")?;
//! let teacher = Model::open("assets/demo-teacher.safetensors", &device)?;
//! let images = ImageSet::open("scenes:2")?.with_scene_side(32);
//! let (pictures, left_out) = open_pictures(&[images], Framing::of(&teacher), 16)?;
//! let mut inspection = Inspection::default();
//! inspection.layers = vec![2, 5];
//! let findings = inspection.run(&Comparison::of(teacher), &pictures, &device)?;
//! assert_eq!((findings.images.len(), left_out.len()), (2, 0));
//! let norms = &findings.depth[0]; // one row a block
//! assert_eq!((norms.subject.as_str(), norms.rows.len()), (TEACHER, 6));
//! # Ok::<(), singer::Error>(())
//! ```

mod batches;
mod comparison;
mod feature_source;
mod findings;
mod injection;
mod inspection;
mod models;
mod norms;
mod pass;
mod pictures;
mod replacements;
mod statistics;
mod treated;
mod visuals;

pub use batches::MOST_PATCHES;
pub use comparison::{Comparison, LayerParts};
pub use feature_source::{
    AVERAGED, CLIPPED, CLOSED_FORM, NEIGHBOURS, REFINED, REGISTERS, STUDENT, TEACHER,
    TRAINING_FREE, ZEROED,
};
pub use findings::{
    BlockDrift, DepthRow, DepthSeries, Findings, Histogram, ImageFindings, Injection,
    LayerFindings, LogitDrift, Map, MapKind, PositionShare, Spectrum,
};
pub use injection::{Drift, inject};
pub use inspection::Inspection;
pub use models::ModelsToCompare;
pub use pictures::{Framing, Picture, PictureSize, open_pictures};
pub use replacements::{clipped, replaced_by_mean, zeroed};
pub use visuals::{Visual, VisualKind, VisualValues};

use crate::device::Device;
use crate::error::Result;
use crate::maps::FeatureMaps;
use crate::refine::TrainingFree;
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use batches::batches;
use inspection::Settings;
use norms::NormTable;
use pass::Pass;

impl Inspection {
    /// Inspects models, which are on `device`, on pictures. Memory holds one batch's
    /// tokens of the inspected layers; for maps over all images, their features are in temporary
    /// files.
    ///
    /// # Errors
    /// Those of [`Comparison::check`]; [`Error::Svd`](crate::Error::Svd); those of the
    /// device.
    pub fn run(
        &self,
        compared: &Comparison,
        pictures: &[Picture],
        device: &Device,
    ) -> Result<Findings> {
        let settings = &compared.settings(self, pictures)?;
        let patch = compared.teacher.config().patch_size;
        let batches = batches(pictures, patch, settings)?;
        let bases = settings.layers.iter().map(|&layer| reader(compared, settings, layer));
        let bases = bases.collect::<Result<Vec<_>>>()?;
        let form = |basis| {
            settings.training_free.map(|share| TrainingFree::new(basis, share, device.burn()))
        };
        let mut pass = Pass {
            compared,
            settings,
            device: device.burn(),
            maps: &FeatureMaps::new(device),
            student_layers: compared.student_layers(&settings.layers)?,
            closed_forms: bases.iter().map(|(_, basis)| form(basis)).collect(),
            norms: NormTable::new(settings.quantile),
            drifts: Vec::new(),
            images: Vec::new(),
        };
        for batch in &batches {
            pass.look(batch)?;
        }
        pass.images.sort_by_key(|(index, _)| *index);
        for (image, visual) in visuals::draw(&pass, &batches)? {
            pass.images[image].1.visuals.push(visual);
        }
        let Pass { student_layers, norms, drifts, images, .. } = pass;
        let layers = || settings.layers.iter().copied().zip(student_layers.iter().copied());
        let models = std::iter::once((TEACHER, &compared.teacher))
            .chain(compared.student.as_ref().map(|student| (STUDENT, student)));
        Ok(Findings {
            models: models
                .map(|(role, model)| (role.to_owned(), model.arch().to_owned()))
                .collect(),
            device: device.name().to_owned(),
            quantile: settings.quantile,
            layers: settings.layers.clone(),
            images: images.into_iter().map(|(_, findings)| findings).collect(),
            depth: norms.depth(),
            histograms: layers()
                .flat_map(|(layer, mapped)| norms.histograms(layer, mapped))
                .collect(),
            positions: layers()
                .flat_map(|(layer, mapped)| norms.positions(layer, mapped))
                .collect(),
            spectra: bases.into_iter().map(|(spectrum, _)| spectrum).collect(),
            injections: drifts
                .iter()
                .map(|(layer, method, drift)| drift.injection(*layer, method))
                .collect(),
            notes: compared.notes(settings),
        })
    }
}

/// Spectrum of the linearised block after a layer, and its left nullspace basis.
fn reader(compared: &Comparison, settings: &Settings, layer: usize) -> Result<(Spectrum, Basis)> {
    let teacher = compared.teacher.vit();
    let block = next_block(layer, teacher.depth());
    let rank = settings.rank;
    let selection = Selection { kind: BasisKind::Smallest, rank, threshold: 0.0, seed: 0 };
    let basis = Basis::select(&Linearised::of(&teacher.blocks[block]), &selection, block)?;
    Ok((Spectrum { layer, block, values: basis.spectrum.clone(), rank }, basis))
}
