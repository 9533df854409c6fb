//! How a run's teacher is refined before and while a student learns from it.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use super::config::{MethodKind, RefineKind};
use super::{DistillConfig, Event};
use crate::data::{ImageSet, Normalise};
use crate::error::{Error, Result};
use crate::probe::{EvalSettings, batches};
use crate::refine::{
    Adapters, Averaged, ClosedForm, ImageBatches, Neighbours, PartsFile, Refiner, Registers,
    closed_form,
};
use crate::train::Ranks;
use crate::vit::Vit;
use crate::weights::WeightsFile;

/// The closed form in a run's folder, as a resumed run goes on with it.
const CLOSED_FORM: &str = "closed-form.safetensors";

/// Images that are read anew for each pass.
pub(super) struct ReadAnew<'a> {
    images: &'a ImageSet,
    settings: EvalSettings,
    device: &'a Device,
}

impl<'a> ReadAnew<'a> {
    /// At most `limit` images. Batches are of one size wherever a closed form is estimated, as
    /// its last bits depend on it.
    pub(super) fn new(
        images: &'a ImageSet,
        settings: &EvalSettings,
        limit: usize,
        device: &'a Device,
    ) -> Self {
        let settings = EvalSettings { batch: 32, limit: Some(limit.max(1)), ..*settings };
        Self { images, settings, device }
    }
}

impl ImageBatches for ReadAnew<'_> {
    fn batches(&self) -> Result<Box<dyn Iterator<Item = Result<Tensor<4>>> + '_>> {
        let batches = batches(self.images, &self.settings, self.device)?;
        Ok(Box::new(batches.map(|batch| Ok(batch?.0))))
    }
}

/// What is done to the teacher's features; `adapters` are those given.
///
/// # Errors
/// [`Error::Adapters`] and [`Error::Refinement`] for a combination that cannot work.
pub(super) fn kind(config: &DistillConfig, adapters: Option<&Adapters>) -> Result<RefineKind> {
    let singer = config.method == MethodKind::Singer;
    let closed = adapters.map(Adapters::is_closed);
    let kind = config.refine.unwrap_or(match (closed, singer) {
        (Some(true), _) | (None, true) => RefineKind::Closed,
        (Some(false), true) => RefineKind::Published,
        (Some(false), false) => {
            let reason = "trained adapters are SiNGER's, and this is another method".to_owned();
            return Err(Error::Adapters(reason));
        }
        (None, false) => RefineKind::None,
    });
    if config.method == MethodKind::None && kind != RefineKind::None {
        return Err(Error::Refinement("labels alone have no teacher"));
    }
    match (kind, closed) {
        (RefineKind::Published | RefineKind::Trained, _) if !singer => {
            Err(Error::Refinement("adapters are trained with the student by SiNGER alone"))
        }
        (RefineKind::Closed, Some(true))
        | (RefineKind::Published | RefineKind::Trained, Some(false)) => Ok(kind),
        (RefineKind::Closed, Some(false)) => {
            Err(Error::Adapters("they are trained ones, and not a closed form".into()))
        }
        (RefineKind::Published | RefineKind::Trained, Some(true)) => {
            Err(Error::Adapters("they are a closed form, which is not trained".into()))
        }
        (RefineKind::None, Some(_)) => {
            Err(Error::Adapters("they are given, and nothing is to be refined".into()))
        }
        (_, None) => Ok(kind),
        (_, Some(_)) => Err(Error::Adapters("the refinement that is asked for has none".into())),
    }
}

/// What refines a frozen teacher, and what was found where it was estimated here.
pub(super) type Refined = (Option<Refiner>, Option<ClosedForm>);

/// Makes the refiner of `kind`: from given adapters, from those of the run that is gone on
/// with in `folder`, or from images.
///
/// # Errors
/// Those of [`closed_form`] and the other treatments, of the images and of files.
pub(super) fn refiner(
    kind: RefineKind,
    config: &DistillConfig,
    given: Option<&Adapters>,
    (teacher, images, ranks): (&Vit, &ReadAnew<'_>, &Ranks),
    normalise: Normalise,
    resumed: Option<&Path>,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Refined> {
    if kind != RefineKind::Closed {
        return Ok((treatment(kind, config, teacher, images, normalise)?, None));
    }
    let mut found = None;
    let mut make = || {
        let adapters;
        (adapters, found) = closed(config, given, (teacher, images), resumed, report)?;
        Ok::<_, Error>(adapters)
    };
    let adapters = match ranks.several() {
        false => make()?,
        // It takes minutes, and on other devices has other bits.
        true => {
            let bytes =
                ranks.from_first(|| pollster::block_on(make()?.to_tensors())?.to_bytes())?;
            let file = WeightsFile::from_bytes("the first rank's closed form", bytes)?;
            PartsFile::new(file).adapters(images.device)?
        }
    };
    Ok((Some(Refiner::ClosedForm(adapters)), found))
}

/// The adapters of a closed form, and what was found where it was estimated here.
fn closed(
    config: &DistillConfig,
    given: Option<&Adapters>,
    (teacher, images): (&Vit, &ReadAnew<'_>),
    resumed: Option<&Path>,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<(Adapters, Option<ClosedForm>)> {
    let before = resumed.map(|folder| folder.join(CLOSED_FORM)).filter(|path| path.exists());
    let adapters = match (given, before) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(path)) => {
            Some(PartsFile::new(WeightsFile::open(&path)?).adapters(images.device)?)
        }
        (None, None) => None,
    };
    if let Some(adapters) = adapters {
        adapters.check(teacher.depth(), teacher.embed_dim())?;
        return Ok((adapters, None));
    }
    let found = closed_form(teacher, images, &config.closed, &mut |done, blocks| {
        report(Event::ClosedForm { done, blocks });
    })?;
    Ok((found.adapters.clone(), Some(found)))
}

/// A treatment without adapters, with its settings in `config`, for a teacher whose images were
/// normalised so; none for other kinds.
///
/// # Errors
/// Those of [`Neighbours::new`], [`Registers::find`] and [`Averaged::new`].
pub fn treatment<I: ImageBatches + ?Sized>(
    kind: RefineKind,
    config: &DistillConfig,
    teacher: &Vit,
    images: &I,
    normalise: Normalise,
) -> Result<Option<Refiner>> {
    Ok(Some(match kind {
        RefineKind::Neighbours => {
            Refiner::Neighbours(Neighbours::new(teacher, &config.neighbours)?)
        }
        RefineKind::Registers => {
            Refiner::Registers(Registers::find(teacher, images, &config.registers)?)
        }
        RefineKind::Averaged => Refiner::Averaged(Averaged::new(&config.averaged, normalise)?),
        _ => return Ok(None),
    }))
}

/// Keeps a closed form in the run's folder.
///
/// # Errors
/// [`Error::Io`] and [`Error::Gpu`].
pub(super) fn keep(found: &ClosedForm, folder: &Path) -> Result<()> {
    found.adapters.save(folder.join(CLOSED_FORM))
}
