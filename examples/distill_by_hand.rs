//! A distillation loop written by hand on the library's parts.
//!
//! `cargo run --release --example distill_by_hand [STEPS]`

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use singer::data::{
    ImageSet, Loader, LoaderSettings, Normalise, Order, Scenes, TrainTransform, Transform,
};
use singer::distill::Distillation;
use singer::distill::singer::{Singer, SingerSettings};
use singer::train::{OptimizerSettings, ParamOptimizer, Shards};
use singer::vit::{VitConfig, init_weights};
use singer::weights;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: usize = std::env::args().nth(1).map_or(Ok(40), |steps| steps.parse())?;
    let device = Device::flex();
    let training = device.clone().autodiff();

    // The teacher stays on the plain device: no gradients, no graph.
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors"));
    let (arch, shape) =
        weights::stored_config(path)?.ok_or("the bundled teacher says its shape")?;
    let teacher = weights::load(path, &arch, &shape, &device)?;

    // A narrower student whose patches match the teacher's one by one.
    let config = VitConfig { embed_dim: 64, num_heads: 2, num_classes: 0, ..shape.clone() };
    let student = init_weights(config.build(&training)?, 0);

    let settings = SingerSettings { layers: vec![3], rank: 16, ..SingerSettings::default() };
    let (method, mut model, bases) = Singer::new(teacher, student, &settings, 0)?;
    for basis in &bases {
        println!("layer {}: residual of the basis {:.2e}", basis.layer, basis.residual);
    }
    let task = Distillation::new(method);
    let shards = Shards::new(std::thread::available_parallelism()?.get())?;

    let images = ImageSet::new(Scenes::new(2026, 0..512, shape.img_size[0] as u32));
    let transform = Transform::Train(TrainTransform {
        size: shape.img_size,
        scale: [0.6, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        flip: 0.5,
    });
    let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
    let order = LoaderSettings {
        batch: 16,
        seed: 0,
        workers: 2,
        order: Order::Shuffled,
        max_unreadable: 0.0,
    };
    let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
    let loader = Loader::start(images, transform, normalise, order, 0)?;
    for (step, batch) in loader.take(steps).enumerate() {
        let batch = batch?;
        let shape = [order.batch, 3, shape.img_size[0], shape.img_size[1]];
        let images = Tensor::<4>::from_data(TensorData::new(batch.pixels, shape), &device);

        let (loss, gradients) =
            shards.backward(&task, &model, &training, &images, &batch.labels, step);
        if step % 10 == 0 || step + 1 == steps {
            let value = |value: &Tensor<1>| value.clone().into_scalar::<f32>();
            let terms = loss.terms.iter().map(|(name, term)| format!("{name} {:.4}", value(term)));
            println!("step {step}: {}", terms.collect::<Vec<_>>().join(", "));
        }
        model = optimizer.step(1e-3, model, gradients, None);
    }

    let student = model.valid().student;
    let file = std::env::temp_dir().join("singer-student.safetensors");
    weights::save(&student, "vit_tiny_patch16_224", &config, &file)?;
    println!("wrote {}", file.display());
    Ok(())
}
