//! `singer export`.

mod args;
mod origin;
mod place;

use std::process::ExitCode;

use burn::tensor::Device;

pub(super) use args::ExportArgs;
use args::{Dtype, Form};
use origin::Origin;
use place::Place;

use super::config::DataConfig;
use super::models;
use super::preprocessing::preprocess;
use crate::error::Result;
use crate::export::{OnnxLayout, Preprocessing, Subject};

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let place = Place::of(&args.out, args.to == Form::Onnx)?;
    place.check(args.force)?;
    let origin = Origin::of(&args.weights)?;
    let mut model = models::open(&origin.weights, args.arch.as_deref())?;
    let mut vit = models::build(&model, 0, &Device::flex())?;
    if args.no_head {
        vit.head = None;
        model.config.num_classes = 0;
    }
    let preprocess = preprocess(&DataConfig::default(), &model)?;
    let preprocessing = Preprocessing::of(&preprocess, model.config.img_size);
    let subject = Subject::new(&vit, &model.arch, &model.config, preprocessing);
    let precision = args.dtype.precision();
    let card = origin.card();
    let package = match args.to {
        Form::Timm => subject.timm(precision, &card),
        Form::Hf => subject.transformers(precision, &card),
        Form::Onnx => {
            let layout = OnnxLayout { file: place.onnx_file(), external: args.external_data };
            subject.onnx(precision, &layout)
        }
    }?;
    let written = place.write(&package, args.dtype)?;
    for (path, bytes) in &written.files {
        println!("wrote {} ({bytes} bytes)", path.display());
    }
    for note in &package.notes {
        println!("{note}");
    }
    if written.vanished > 0 {
        eprintln!(
            "singer: warning: {} values are too small for {} and became zero",
            written.vanished,
            args.dtype.name()
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}
