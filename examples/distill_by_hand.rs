//! A distillation loop written by hand on the library's parts.
//!
//! `cargo run --release --example distill_by_hand [STEPS]`

use burn::module::Module;
use singer::data::{Loader, LoaderSettings, TrainTransform, Transform};
use singer::distill::Distillation;
use singer::distill::singer::{Singer, SingerSettings};
use singer::train::{OptimizerSettings, ParamOptimizer, Shards};
use singer::vit::{VitConfig, init_weights};
use singer::{Device, ImageSet, Model, Result, readback};

fn main() -> Result<()> {
    let steps: usize = std::env::args().nth(1).and_then(|steps| steps.parse().ok()).unwrap_or(40);
    // The teacher stays on the plain device: no gradients, no graph.
    let device = Device::cpu();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let teacher = Model::open(path, &device)?;

    // A narrower student whose patches match the teacher's one by one, on the device that
    // records gradients.
    let training = device.autodiff();
    let shape = teacher.config();
    let config = VitConfig { embed_dim: 64, num_heads: 2, num_classes: 0, ..shape.clone() };
    let student = init_weights(config.build(&training)?, 0);

    let settings = SingerSettings::default().with(|s| {
        s.layers = vec![3];
        s.rank = 16;
    });
    let (method, mut model, bases) = Singer::new(teacher.vit().clone(), student, &settings, 0)?;
    for basis in &bases {
        println!("layer {}: residual of the basis {:.2e}", basis.layer, basis.residual);
    }
    let task = Distillation::new(method);
    let shards = Shards::new(device.shards())?;

    let [height, width] = shape.img_size;
    let images = ImageSet::open("scenes:512")?.with_scene_side(height);
    let transform = Transform::Train(TrainTransform {
        size: [height, width],
        scale: [0.6, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        flip: 0.5,
    });
    let order = LoaderSettings { batch: 16, ..LoaderSettings::default() };
    let loader = Loader::start(images, transform, teacher.preprocess().normalise, order, 0)?;
    let mut optimizer = ParamOptimizer::new(&OptimizerSettings::default());
    for (step, batch) in loader.take(steps).enumerate() {
        let batch = batch?;
        let images = batch.pixels.to_device(shape.img_size, device.burn());

        let (loss, gradients) =
            shards.backward(&task, &model, &training, &images, &batch.labels, step);
        if step % 10 == 0 || step + 1 == steps {
            for (name, term) in &loss.terms {
                println!("step {step}: {name} {:.4}", readback::read(term.clone())?[0]);
            }
        }
        model = optimizer.step(1e-3, model, gradients, None);
    }

    let student = model.valid().student;
    let student = Model::from_parts(student, "vit_tiny_patch16_224", config, *teacher.preprocess());
    let file = std::env::temp_dir().join("singer-student.safetensors");
    student.save(&file)?;
    println!("wrote {}", file.display());
    Ok(())
}
