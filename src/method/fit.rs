use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::distill::{self, Distiller, PassCache, adapters};
use crate::error::{Error, Result};
use crate::refine::Adapter;
use crate::train::{OptimizerSettings, ParamOptimizer, Part, Shards, Task, TaskLoss};
use crate::vit::Vit;

/// Bytes of the teacher's features that are kept for the next time that their images
/// come round.
const MOST_KEPT: usize = 2 << 30;

/// How adapters are fitted without a student.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FitSettings {
    /// Layers, rank, quantile, basis, losses and their weights; that of KD does not
    /// count, as there is no student.
    pub method: distill::Settings,
    /// Steps, each on one batch of the images in turn.
    pub steps: usize,
    /// AdamW's highest learning rate; a half cosine leads from it to zero.
    pub lr: f64,
    /// Seed of random bases.
    pub seed: u64,
    /// CPU threads that share a batch; 1 on a GPU.
    pub parts: usize,
}

/// Where a fit stands.
#[derive(Debug, Clone, Copy)]
pub struct FitProgress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The newest step's outlier and information loss, weighted.
    pub losses: [f32; 2],
}

/// Adapters fitted without a student.
#[derive(Debug)]
pub struct Fitted {
    /// By layer, ascending.
    pub adapters: Vec<(usize, Adapter)>,
    /// The last step's outlier and information loss, weighted; NaN without steps.
    pub losses: [f32; 2],
}

/// Outlier and information loss of a teacher's adapters alone.
struct Refinement {
    distiller: Distiller,
    /// Of the images of each batch, which come in turn.
    passes: PassCache,
    batches: usize,
}

impl Task for Refinement {
    type Model = Vec<Adapter>;

    fn loss(
        &self,
        adapters: &Vec<Adapter>,
        images: Tensor<4>,
        _labels: &[usize],
        part: &Part<'_>,
    ) -> TaskLoss {
        let device = adapters[0].down.device();
        let place = (part.step % self.batches, part.first);
        let pass = self.passes.pass(place, || self.distiller.teacher_pass(images));
        let zero = || Tensor::<1>::zeros([1], &device);
        let (mut outlier, mut info) = (zero(), zero());
        for losses in self.distiller.refinements(adapters, pass) {
            let count = part.total(losses.outlier.count).clamp_min(1.0);
            outlier = outlier + losses.outlier.sum / count;
            info = info + losses.info * part.fraction;
        }
        let [_, outlier, info] = self.distiller.weigh(zero(), outlier, info);
        let terms = vec![("outlier", outlier.clone().inner()), ("info", info.clone().inner())];
        TaskLoss { total: outlier + info, terms, extra: Vec::new() }
    }
}

/// Fits adapters to a teacher by the outlier and the information loss, without a
/// student, on `images`, `[B, 3, H, W]` each, on the plain device.
///
/// # Errors
/// As [`Distiller::new`]; [`Error::Svd`]; [`Error::NotFinite`].
pub fn fit_adapters(
    teacher: &Vit,
    images: &[Tensor<4>],
    settings: &FitSettings,
    report: &mut dyn FnMut(FitProgress),
) -> Result<Fitted> {
    if images.is_empty() {
        return Err(Error::config("adapters cannot be fitted without images"));
    }
    let plain = teacher.device();
    let training: Device = plain.clone().autodiff();
    let method = settings.method.clone();
    let layers = method.resolve_layers(teacher.depth())?;
    let (mut model, _) = adapters(teacher, &layers, &method, settings.seed, &training)?;
    let distiller = Distiller::new(teacher.clone(), teacher.depth(), method, &training)?;
    let task = Refinement { distiller, passes: PassCache::new(MOST_KEPT), batches: images.len() };
    let shards = Shards::new(settings.parts)?;
    let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
    let mut last = [f32::NAN; 2];
    for step in 0..settings.steps {
        let batch = &images[step % images.len()];
        let labels = vec![0; batch.dims()[0]];
        let (loss, grads) = shards.backward(&task, &model, &training, batch, &labels, step);
        for (slot, (term, value)) in last.iter_mut().zip(loss.terms) {
            *slot = crate::readback::read(value)?[0];
            if !slot.is_finite() {
                let (step, term, value) = (step + 1, term.to_owned(), *slot);
                return Err(Error::NotFinite { step, term, value });
            }
        }
        report(FitProgress { step: step + 1, steps: settings.steps, losses: last });
        let share = step as f64 / settings.steps as f64;
        let lr = settings.lr * 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        model = optimizer.step(lr, model, grads, None);
    }
    let fitted = burn::module::Module::valid(&model);
    Ok(Fitted { adapters: layers.into_iter().zip(fitted).collect(), losses: last })
}
