use burn::tensor::{Device as BurnDevice, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use singer::data::Preprocess;
use singer::distill::{
    Distance, Distillation, FeatureDistillation, FeatureModel, Mapping, Method, Teacher,
};
use singer::frozen::FrozenVit;
use singer::readback::read_async;
use singer::refine::{Adapters, Refiner};
use singer::train::{OptimizerSettings, ParamOptimizer, Schedule, Shards};
use singer::vit::{VitConfig, init_weights};
use singer::{Device, Model as SavedModel};

use crate::error::{Fault, Result};
use crate::fit::check_steps;
use crate::model::{Model, ModelInfo};

/// Most images that a student learns from.
const MOST_IMAGES: usize = 256;
/// Width of a head, as in all ViTs from Tiny to Large.
const HEAD: usize = 32;
const MOST_WIDTH: usize = 768;
/// Most blocks of a student.
const MOST_BLOCKS: usize = 6;
/// Weight of the loss, that of SiNGER's reference implementation.
const WEIGHT: f64 = 10.0;
const SEED: u64 = 0;

/// `LessonSettings` of types.d.ts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LessonSettings {
    layers: Vec<usize>,
    /// Of the images; 0 for the teacher's own.
    side: usize,
    /// Of the student's tokens.
    width: usize,
    lr: f64,
    steps: usize,
    /// Whether it learns from refined features.
    refined: bool,
}

/// What a step gave.
#[derive(Debug, Clone, Serialize)]
pub struct LessonStep {
    step: usize,
    steps: usize,
    loss: f32,
    done: bool,
}

/// A student that learns the teacher's features, by the mean squared difference after a
/// projection, from images in turn.
pub struct Lesson {
    task: Distillation<FeatureDistillation>,
    model: FeatureModel,
    /// `[B, 3, H, W]` each.
    batches: Vec<Tensor<4>>,
    optimizer: ParamOptimizer,
    training: BurnDevice,
    arch: String,
    config: VitConfig,
    preprocess: Preprocess,
    settings: LessonSettings,
    step: usize,
}

impl Lesson {
    /// A student with new weights, of the teacher's kind, patches and input.
    pub async fn new(
        teacher: &Model,
        adapters: &Adapters,
        images: &[RgbImage],
        settings: LessonSettings,
        device: &Device,
    ) -> Result<Self> {
        check(&settings, images.len())?;
        let refiner = match settings.refined && !adapters.layers().is_empty() {
            true if !adapters.is_closed() => {
                return Err(Fault::new(
                    "a student learns here from what a closed form refines, not from trained adapters: find artifacts first, or let it learn from the raw features",
                ));
            }
            true => Some(Refiner::ClosedForm(adapters.clone())),
            false => None,
        };
        let (vit, batches) = teacher.at_side(images, settings.side, device).await?;
        let [_, _, height, width] = batches[0].dims();
        let config = VitConfig {
            img_size: [height, width],
            embed_dim: settings.width,
            num_heads: settings.width / HEAD,
            depth: teacher.config.depth.min(MOST_BLOCKS),
            num_classes: 0,
            ..teacher.config.clone()
        };
        let training = device.autodiff();
        let student = init_weights(config.build(&training)?, SEED);
        let teacher_features = Teacher::new(vit).refined(refiner);
        let (method, model) = FeatureDistillation::new(
            teacher_features,
            student,
            &settings.layers,
            Mapping::default(),
            Distance::Mse,
            WEIGHT,
            SEED,
        )?;
        Ok(Self {
            task: Distillation::new(method),
            model,
            batches,
            optimizer: ParamOptimizer::new(&OptimizerSettings::default()),
            training,
            arch: teacher.info.arch().to_owned(),
            config,
            preprocess: teacher.preprocess,
            settings,
            step: 0,
        })
    }

    /// One step on the next images.
    pub async fn step(&mut self) -> Result<LessonStep> {
        let LessonSettings { steps, lr, .. } = self.settings;
        if self.step >= steps {
            return Err(Fault::new("all steps are done"));
        }
        let images = &self.batches[self.step % self.batches.len()];
        let labels = vec![0; images.dims()[0]];
        let shards = Shards::one();
        let (loss, gradients) =
            shards.backward(&self.task, &self.model, &self.training, images, &labels, self.step);
        let cosine = Schedule::half_cosine(0.0);
        let rate = cosine.rate(lr, self.step, steps, steps);
        self.model = self.optimizer.step(rate, self.model.clone(), gradients, None);
        self.step += 1;
        let loss = read_async(loss.total()).await?[0];
        if !loss.is_finite() {
            return Err(Fault::new(format!(
                "step {}: the loss is {loss}: take a smaller learning rate",
                self.step
            )));
        }
        Ok(LessonStep { step: self.step, steps, loss, done: self.step == steps })
    }

    /// The student as it is now.
    pub fn student(&self, device: &Device) -> Result<Model> {
        let vit = FrozenVit::new(self.saved().into_vit(), device)?;
        let info = ModelInfo::of(&self.arch, "singer", &self.config)?;
        let (config, preprocess) = (self.config.clone(), self.preprocess);
        Ok(Model { vit, config, preprocess, info })
    }

    /// The same as a file, which the page and the program open.
    pub async fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.saved().to_tensors().await?.to_bytes()?)
    }

    /// Outside the training graph.
    fn saved(&self) -> SavedModel {
        use burn::module::Module;
        let student = self.task.method.student(&self.model).clone().valid();
        SavedModel::from_parts(student, &*self.arch, self.config.clone(), self.preprocess)
    }
}

fn check(settings: &LessonSettings, images: usize) -> Result<()> {
    let LessonSettings { steps, lr, width, .. } = *settings;
    if images == 0 || images > MOST_IMAGES {
        return Err(Fault::new(format!("{images} images: learn from 1 to {MOST_IMAGES}")));
    }
    if width == 0 || width > MOST_WIDTH || width % HEAD != 0 {
        return Err(Fault::new(format!(
            "a width of {width}: take a multiple of {HEAD} up to {MOST_WIDTH}"
        )));
    }
    check_steps(steps, lr)
}
