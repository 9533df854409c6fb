//! `singer demo`: the main job with nothing to download or configure.

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::{Device as BurnDevice, Tensor};

use super::args::DemoArgs;
use super::config::{DataConfig, DeviceName, DistillConfig, TrainConfig};
use super::distill::{Report, distill};
use super::{parts_file, session};
use crate::data::{ImageSet, Normalise, Split};
use crate::device::Device;
use crate::distill::singer::SingerSettings;
use crate::error::{Error, Result};
use crate::export::STUDENT;
use crate::figure::png;
use crate::maps::FeatureMaps;
use crate::model::{Model, ModelSpec};
use crate::readback::read;
use crate::report::{NormMaps, norm_sheet};
use crate::tokens::patch_norms;
use crate::train::Schedule;
use crate::vit::Vit;
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
    println!(
        "The teacher is a small ViT trained on CIFAR-10. A model this small grows no artifacts of its\n\
         own, so some were planted: a hidden unit of block {PLANTED} writes a large vector into smooth\n\
         patches, inside the left nullspace of the next block. The images are procedural scenes.\n"
    );
    let stop = session::stop_flag(session::SAVING)?;
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
            path: Some("scenes:2000".into()),
            val: Some(UNSEEN.into()),
            scale: [0.6, 1.0],
            crop_pct: Some(1.0),
            ..DataConfig::default()
        },
        singer: SingerSettings { layers: vec![PLANTED], rank: 16, ..SingerSettings::default() },
        schedule: Schedule::Cosine { warmup_epochs: 0.5, warmup_lr: 0.0, min_lr: 1e-5 },
        train: TrainConfig {
            batch: 32,
            steps: Some(args.steps),
            log_every: 25,
            ..TrainConfig::default()
        },
        ..DistillConfig::default()
    };
    let Some(report) = distill(&config, false, &stop)? else {
        return Ok(ExitCode::from(130));
    };
    let figure = out.join("norms.png");
    draw(&figure, &teacher, &report)?;
    println!(
        "wrote {}, {} and {}",
        figure.display(),
        out.join("metrics.jsonl").display(),
        out.join("run.json").display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Norm maps of the last block: teacher, refined teacher, student.
fn draw(path: &Path, teacher_file: &Path, report: &Report) -> Result<()> {
    let device = Device::cpu();
    let model = Model::open(teacher_file, &device)?;
    let student = Model::open(report.folder.join(STUDENT), &device)?;
    let (teacher, student) = (model.vit(), student.vit());
    let last = teacher.depth() - 1;
    let adapter = parts_file::open(&report.folder)?.adapter(last, device.burn())?;

    let images = session::images(UNSEEN, Split::Val, session::scene_side(model.config()))?;
    let normalise = model.preprocess().normalise;
    let prefix = teacher.prefix_tokens();
    let pictures = most_affected(teacher, &images, normalise, device.burn())?;
    let batch = normalise.batch(&pictures, device.burn())?;
    let raw = teacher.intermediate(batch.clone(), &[last]).remove(0);
    let refined = adapter.forward(raw.clone(), prefix);
    let mapped = *report.student_layers.last().unwrap_or(&(student.depth() - 1));
    let student = student.intermediate(batch, &[mapped]).remove(0);
    let norms = |name: &str, group, tokens: Tensor<3>| -> Result<NormMaps> {
        let norms = patch_norms(tokens, prefix);
        let patches = norms.dims()[1];
        let norms = read(norms)?.chunks(patches).map(<[f32]>::to_vec).collect();
        Ok(NormMaps { name: name.into(), group, norms })
    };
    let norms = [
        norms("teacher", 0, raw)?,
        norms("refined teacher", 0, refined)?,
        norms("student", 1, student)?,
    ];
    let title = "Patch norms of the last block";
    let note =
        "Coloured from 0; teacher and refined teacher share one range, the student has its own.";
    let sheet = norm_sheet(title, note, &pictures, &norms, model.config().grid());
    let maps = FeatureMaps::new(&device);
    write_atomically(path, &png(sheet.draw(&maps)?)?)
}

/// The scenes in which the teacher's largest patch norm is largest.
fn most_affected(
    teacher: &Vit,
    images: &ImageSet,
    normalise: Normalise,
    device: &BurnDevice,
) -> Result<Vec<image::RgbImage>> {
    let candidates = (0..CANDIDATES).map(|index| images.read(index));
    let candidates = candidates.collect::<Result<Vec<_>>>()?;
    let batch = normalise.batch(&candidates, device)?;
    let tokens = teacher.intermediate(batch, &[teacher.depth() - 1]).remove(0);
    let largest = patch_norms(tokens, teacher.prefix_tokens()).max_dim(1).into_data();
    let mut ranked: Vec<(f32, image::RgbImage)> = largest.iter::<f32>().zip(candidates).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(ranked.into_iter().take(SHOWN).map(|(_, image)| image).collect())
}
