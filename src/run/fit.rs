use burn::tensor::Tensor;

use super::refinement::ReadAnew;
use crate::data::{ImageSet, LoaderSettings, PassedOver, Unreadable, eval_crop};
use crate::device::Device;
use crate::distill::singer::{AdapterFit, FitSettings};
use crate::error::Result;
use crate::model::Model;
use crate::probe::EvalSettings;
use crate::refine::{Adapters, ClosedForm, ClosedSettings};
use crate::train::Shards;

/// Images of one step.
const BATCH: usize = 32;

/// Fits a teacher's adapters without a student and without labels: a head start for every
/// student of that teacher. [`AdapterFit`] does the same step by step.
///
/// ```
/// use singer::{Device, FitSettings, ImageSet, Model};
///
/// let teacher = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let settings = FitSettings::default().with(|s| {
///     s.singer.rank = 8;
///     s.steps = 2;
/// });
/// let adapters = singer::fit(&teacher, &ImageSet::open("scenes:8")?, &settings)?;
/// assert_eq!(adapters.layers(), [5]); // the last block, as no other is named
/// # Ok::<(), singer::Error>(())
/// ```
///
/// One unreadable image in a hundred is passed over.
///
/// # Errors
/// As [`AdapterFit::new`] and [`AdapterFit::run`]; errors of the images.
pub fn fit(teacher: &Model, images: &ImageSet, settings: &FitSettings) -> Result<Adapters> {
    let images = images.clone().with_scene_side(side(teacher));
    let max_unreadable = LoaderSettings::default().max_unreadable;
    let (batches, _) = batches(teacher, &images, settings.images, max_unreadable)?;
    let shards = Shards::new(Device::of(&teacher.vit().device()).shards())?;
    let mut fit = AdapterFit::new(teacher.vit(), batches, settings.clone(), shards)?;
    fit.run(&mut |_| {})?;
    Ok(fit.adapters())
}

/// A teacher's refinement in closed form: artifacts are found block by block, without training
/// and without labels. Its adapters serve [`Distill::adapters`](super::Distill::adapters).
///
/// ```
/// use singer::refine::ClosedSettings;
/// use singer::{Device, ImageSet, Model};
///
/// let teacher = Model::open("assets/demo-teacher.safetensors", &Device::cpu())?;
/// let settings = ClosedSettings::default().with(|s| s.images = 64);
/// let images = ImageSet::open("scenes:64")?;
/// let found = singer::closed_form(&teacher, &images, &settings, &mut |_done, _blocks| {})?;
/// assert_eq!(found.blocks[0].block, 3); // where the demo teacher's artifacts were planted
/// # Ok::<(), singer::Error>(())
/// ```
///
/// `report` hears of each block that is done and of the number of blocks. One unreadable image in
/// a hundred is passed over.
///
/// # Errors
/// As [`refine::closed_form`](crate::refine::closed_form).
pub fn closed_form(
    teacher: &Model,
    images: &ImageSet,
    settings: &ClosedSettings,
    report: &mut dyn FnMut(usize, usize),
) -> Result<ClosedForm> {
    let images = images.clone().with_scene_side(side(teacher));
    let device = teacher.vit().device();
    let images = ReadAnew::new(&images, &EvalSettings::of(teacher), settings.images, &device);
    crate::refine::closed_form(teacher.vit(), &images, settings, report)
}

/// The side at which procedural scenes are drawn for a model.
fn side(model: &Model) -> usize {
    model.config().img_size.into_iter().max().unwrap_or_default()
}

/// At most `count` images, evenly spread over the set, prepared as the model wants them, in
/// batches `[32, 3, H, W]` on its device; and which of them were unreadable and passed over, at
/// most the share `max_unreadable`.
///
/// # Errors
/// [`Error::Unreadable`](crate::Error::Unreadable); errors of the images.
pub fn batches(
    model: &Model,
    images: &ImageSet,
    count: usize,
    max_unreadable: f64,
) -> Result<(Vec<Tensor<4>>, Option<PassedOver>)> {
    let transform = model.preprocess().transform(model.config().img_size);
    let device = model.vit().device();
    let images = images.sample(count.max(1));
    let unreadable = Unreadable::new(Some(images.len()), max_unreadable);
    let mut batches = Vec::with_capacity(images.len().div_ceil(BATCH));
    let mut crops = Vec::with_capacity(BATCH);
    for index in 0..images.len() {
        match images.read(index).and_then(|image| eval_crop(&image, &transform)) {
            Ok(crop) => crops.push(crop),
            Err(error) => unreadable.note(index as u64, error, 0)?,
        }
        if crops.len() == BATCH || (index + 1 == images.len() && !crops.is_empty()) {
            batches.push(model.preprocess().normalise.batch(&crops, &device)?);
            crops.clear();
        }
    }
    Ok((batches, unreadable.passed_over()))
}
