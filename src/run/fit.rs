use burn::tensor::Tensor;

use crate::data::{ImageSet, eval_crop};
use crate::device::Device;
use crate::distill::Adapters;
use crate::distill::singer::{AdapterFit, FitSettings};
use crate::error::Result;
use crate::model::Model;
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
/// # Errors
/// As [`AdapterFit::new`] and [`AdapterFit::run`]; errors of the images.
pub fn fit(teacher: &Model, images: &ImageSet, settings: &FitSettings) -> Result<Adapters> {
    let images = images.clone().with_scene_side(side(teacher));
    let batches = batches(teacher, &images, settings.images)?;
    let shards = Shards::new(Device::of(&teacher.vit().device()).shards())?;
    let mut fit = AdapterFit::new(teacher.vit(), batches, settings.clone(), shards)?;
    fit.run(&mut |_| {})?;
    Ok(fit.adapters())
}

/// The side at which procedural scenes are drawn for a model.
fn side(model: &Model) -> usize {
    model.config().img_size.into_iter().max().unwrap_or_default()
}

/// At most `count` images, evenly spread over the set, prepared as the model wants them, in
/// batches `[32, 3, H, W]` on its device.
///
/// # Errors
/// Errors of the images.
pub fn batches(model: &Model, images: &ImageSet, count: usize) -> Result<Vec<Tensor<4>>> {
    let transform = model.preprocess().transform(model.config().img_size);
    let device = model.vit().device();
    let images = images.sample(count.max(1));
    let indices: Vec<usize> = (0..images.len()).collect();
    let batch = |indices: &[usize]| -> Result<Tensor<4>> {
        let crop = |&index: &usize| eval_crop(&images.read(index)?, &transform);
        let crops = indices.iter().map(crop).collect::<Result<Vec<_>>>()?;
        model.preprocess().normalise.batch(&crops, &device)
    };
    indices.chunks(BATCH).map(batch).collect()
}
