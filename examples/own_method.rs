//! A distillation method of one's own: one implementation of `Method`, trained by
//! the library's loop on procedural scenes.
//!
//! The method is relational: the student learns which of an image's patches are
//! alike to the teacher, as Gram matrices of unit patch tokens, at two depths. As
//! P x P matrices do not depend on a width, it needs no projection.
//!
//! `cargo run --release --example own_method [STEPS]`

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, FloatDType, TensorData};
use singer::data::{ImageSet, LoaderSettings, Normalise, Order, Scenes, TrainTransform, Transform};
use singer::distill::singer::gram_mse;
use singer::distill::{
    Distillation, LossInputs, Mapping, Method, Teacher, as_constant, map_layers,
};
use singer::train::{Feed, Loss, OptimizerSettings, Schedule, Term, TrainSettings, train};
use singer::vit::{Vit, VitConfig, init_weights};
use singer::weights;

/// `Σ_l mse(G(F_S,m(l)), G(F_T,l))`.
struct Relational {
    teacher: Teacher,
    layers: Vec<usize>,
    student_layers: Vec<usize>,
}

impl Method for Relational {
    type Model = Vit;

    fn student<'a>(&self, model: &'a Vit) -> &'a Vit {
        model
    }

    fn student_layers(&self) -> &[usize] {
        &self.student_layers
    }

    fn loss(&self, model: &Vit, inputs: LossInputs<'_>) -> Loss {
        let prefix = model.prefix_tokens();
        let device = model.device();
        let features = self.teacher.tokens(inputs.images, &self.layers);
        let pairs = inputs.tokens.into_iter().zip(features);
        let relations =
            pairs.map(|(ours, wanted)| gram_mse(ours, as_constant(wanted, &device), prefix));
        let sum = relations.reduce(|a, b| a + b).expect("there are layers");
        Loss::of(Term::mean("relations", 1.0, sum))
    }

    fn parts(&self, _model: &Vit) -> Vec<(String, TensorData)> {
        Vec::new()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: usize = std::env::args().nth(1).map_or(Ok(60), |steps| steps.parse())?;
    let device = Device::flex();
    let training = device.clone().autodiff();
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors"));
    let (arch, shape) =
        weights::stored_config(path)?.ok_or("the bundled teacher says its shape")?;
    let teacher = weights::load(path, &arch, &shape, &device)?;

    let config = VitConfig { embed_dim: 64, num_heads: 2, num_classes: 0, ..shape.clone() };
    let student = init_weights(config.build(&training)?, 0);
    let layers = vec![2, teacher.depth() - 1];
    let student_layers = map_layers(&layers, teacher.depth(), config.depth, Mapping::Last)?;
    let teacher = Teacher::new(teacher, FloatDType::F32);
    let task = Distillation::new(Relational { teacher, layers, student_layers });

    let images = ImageSet::new(Scenes::new(2026, 0..512, shape.img_size[0] as u32));
    let transform = Transform::Train(TrainTransform {
        size: shape.img_size,
        scale: [0.6, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        flip: 0.5,
    });
    let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
    let out = std::env::temp_dir().join("singer-own-method");
    std::fs::create_dir_all(&out)?;
    let settings = TrainSettings {
        out: out.clone(),
        steps,
        optimizer: OptimizerSettings::default(),
        schedule: Schedule::Constant {},
        clip: None,
        log_every: 10,
        checkpoint_every: 1000,
        description: "own_method".into(),
        resume: false,
        loader: LoaderSettings {
            batch: 16,
            seed: 0,
            workers: 2,
            order: Order::Shuffled,
            max_unreadable: 0.0,
        },
        shards: std::thread::available_parallelism()?.get(),
    };
    let never = AtomicBool::new(false);
    let (student, _) = train(
        &task,
        student,
        &training,
        Feed { images, transform, normalise },
        &settings,
        &never,
        &mut |progress| {
            println!("step {}: relations {:.4}", progress.record.step, progress.record.loss);
        },
    )?;
    let file = out.join("student.safetensors");
    weights::save(&student, "vit_tiny_patch16_224", &config, &file)?;
    println!("wrote {}", file.display());
    Ok(())
}
