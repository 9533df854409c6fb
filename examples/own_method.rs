//! A distillation method of one's own: one implementation of `Method`, trained by
//! the library's loop on procedural scenes.
//!
//! The method is relational: the student learns which of an image's patches are
//! alike to the teacher, as Gram matrices of unit patch tokens, at two depths. As
//! P x P matrices do not depend on a width, it needs no projection.
//!
//! `cargo run --release --example own_method [STEPS]`

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::TensorData;
use singer::data::{TrainTransform, Transform};
use singer::distill::singer::gram_mse;
use singer::distill::{
    Distillation, LossInputs, Mapping, Method, Teacher, as_constant, map_layers,
};
use singer::train::{Feed, Loss, Progress, Schedule, Term, TrainSettings, train};
use singer::vit::{Vit, VitConfig, init_weights};
use singer::{Device, Error, ImageSet, Model, Result};

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

fn main() -> Result<()> {
    let steps = std::env::args().nth(1).and_then(|steps| steps.parse().ok()).unwrap_or(60);
    let device = Device::cpu();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let teacher = Model::open(path, &device)?;

    let shape = teacher.config();
    let config = VitConfig { embed_dim: 64, num_heads: 2, num_classes: 0, ..shape.clone() };
    let student = init_weights(config.build(&device.autodiff())?, 0);
    let layers = vec![2, shape.depth - 1];
    let student_layers = map_layers(&layers, shape.depth, config.depth, Mapping::Last)?;
    let frozen = Teacher::new(teacher.vit().clone());
    let task = Distillation::new(Relational { teacher: frozen, layers, student_layers });

    let size = shape.img_size;
    let feed = Feed {
        images: ImageSet::open("scenes:512")?.with_scene_side(size[0]).into(),
        transform: Transform::Train(TrainTransform {
            size,
            scale: [0.6, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            flip: 0.5,
        }),
        normalise: teacher.preprocess().normalise,
    };
    let out = std::env::temp_dir().join("singer-own-method");
    std::fs::create_dir_all(&out).map_err(|error| Error::io(&out, error))?;
    let settings = TrainSettings::new(&out, steps).with(|s| {
        s.schedule = Schedule::Constant {};
        s.loader.batch = 16;
        s.shards = device.shards();
    });
    let never = AtomicBool::new(false);
    let mut report = |progress: Progress<'_>| {
        println!("step {}: relations {:.4}", progress.record.step, progress.record.loss);
    };
    let training = device.autodiff();
    let (student, _) = train(&task, student, &training, feed, &settings, &never, &mut report)?;
    let student =
        Model::from_parts(student.valid(), "vit_tiny_patch16_224", config, *teacher.preprocess());
    student.save(out.join("student.safetensors"))?;
    println!("wrote {}", out.join("student.safetensors").display());
    Ok(())
}
