//! `singer demo`: the main job with nothing to download or configure.

use std::path::Path;
use std::process::ExitCode;

use super::args::DemoArgs;
use super::distill::distill;
use super::report;
use super::session::{self, Stop};
use super::track::Track;
use crate::data::Split;
use crate::device::Device;
use crate::distill::singer::SingerSettings;
use crate::error::{Error, Result};
use crate::figure::png;
use crate::model::{Model, ModelSpec};
use crate::refine::Refiner;
use crate::report::NormFigure;
use crate::run::{DataConfig, DeviceName, Distill, DistillConfig, Run, TrainConfig};
use crate::train::Schedule;
use crate::weights::write_atomically;

/// A ViT of 1.2 M parameters; `assets/README.md` says how it was made.
const TEACHER: &[u8] = include_bytes!("../../assets/demo-teacher.safetensors");
/// The block into which its artifacts were planted.
const PLANTED: usize = 3;
/// Scenes that neither teacher nor student has seen.
const UNSEEN: &str = "scenes:20000-20256";
/// Scenes in the figure: those with the largest norms of the first few.
const SHOWN: usize = 5;
const CANDIDATES: usize = 64;

pub(super) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let out = &args.out;
    if out.join("run.json").exists() {
        return Err(Error::config(format!(
            "{} already holds a demo; remove it or choose another --out",
            out.display()
        )));
    }
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, error))?;
    let teacher = out.join("teacher.safetensors");
    write_atomically(&teacher, TEACHER)?;
    say!(
        "The teacher is a small ViT trained on CIFAR-10. A model this small grows no artifacts of its\n\
         own, so some were planted: a hidden unit of block {PLANTED} writes a large vector into smooth\n\
         patches, inside the left nullspace of the next block. The images are procedural scenes.\n"
    );
    let config = DistillConfig {
        device: DeviceName(args.device.clone()),
        out: Some(out.clone()),
        teacher: ModelSpec::weights(&teacher),
        student: ModelSpec {
            arch: Some("vit_tiny_patch16_224".into()),
            embed_dim: Some(64),
            depth: Some(6),
            num_heads: Some(2),
            ..ModelSpec::default()
        },
        data: DataConfig {
            path: "scenes:2000".into(),
            val: UNSEEN.into(),
            scale: [0.6, 1.0],
            crop_pct: Some(1.0),
            ..DataConfig::default()
        },
        singer: SingerSettings { layers: vec![PLANTED], ..SingerSettings::default() },
        schedule: Schedule::Cosine { warmup_epochs: 0.5, warmup_lr: 0.0, min_lr: 1e-5 },
        train: TrainConfig {
            batch: 32,
            steps: Some(args.steps),
            log_every: 25,
            ..TrainConfig::default()
        },
        ..DistillConfig::default()
    };
    session::exit_code(distill_and_draw(config, &teacher), "start again with another --out")
}

fn distill_and_draw(config: DistillConfig, teacher: &Path) -> Result<()> {
    let stop = Stop::watch(session::SAVING)?;
    let run = distill(Distill::from_config(config), None, &stop, &Track::nothing())?;
    report::of_distillation(&run);
    let figure = run.folder().join("norms.png");
    draw(&figure, teacher, &run)?;
    say!(
        "wrote {}, {} and {}",
        figure.display(),
        run.folder().join("metrics.jsonl").display(),
        run.folder().join("run.json").display()
    );
    Ok(())
}

/// Norm maps of the last block: teacher, refined teacher, student.
fn draw(path: &Path, teacher_file: &Path, run: &Run) -> Result<()> {
    let device = Device::cpu();
    let teacher = Model::open(teacher_file, &device)?;
    let run = Run::open(run.folder(), &device)?;
    let student = run.student();
    let layer = teacher.config().depth - 1;
    let adapters = run.adapters().ok_or(Error::Missing("refinement of the teacher"))?;
    let refiner = &Refiner::ClosedForm(adapters.clone());
    let last = student.config().depth - 1;
    let student_layer = run.measurements().student_layers.last().copied().unwrap_or(last);
    let side = session::scene_side(teacher.config());
    let scenes = session::images(&[UNSEEN.to_owned()], Split::Val, side, None)?;
    let scenes = (0..CANDIDATES).map(|index| scenes.read(index)).collect::<Result<Vec<_>>>()?;
    let figure = NormFigure { teacher: &teacher, layer, refiner, student, student_layer };
    write_atomically(path, &png(figure.draw(&scenes, SHOWN, &device)?)?)
}
