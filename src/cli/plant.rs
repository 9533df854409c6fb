use std::process::ExitCode;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::json;

use super::args::PlantArgs;
use super::config::DataConfig;
use super::preprocessing::{self, preprocess};
use super::{models, session};
use crate::data::{SharedImages, Split, eval_crop};
use crate::error::{Error, Result};
use crate::eval::EvalSettings;
use crate::plant::{PlantSettings, plant};
use crate::weights;

pub(super) fn run(args: &PlantArgs) -> Result<ExitCode> {
    let model = models::open(&args.weights, args.arch.as_deref())?;
    let device = Device::flex();
    let vit = models::build(&model, 0, &device)?;
    let placement = serde_json::from_value(json!(args.placement)).map_err(|_| {
        Error::config(format!("--placement {}: use inside, mixed or outside", args.placement))
    })?;
    let data = args.preprocess.over(DataConfig::default())?;
    let preprocess = preprocess(&data, &model)?;
    let images = session::images(&args.data, Split::Train, session::scene_side(&model.config))?;
    let eval = session::eval_settings(&data, model.config.img_size, &preprocess, 1, None);
    let batches = batches(&images, args.images, &eval, &device)?;
    let settings = PlantSettings {
        block: args.block,
        strength: args.strength,
        share: args.share,
        placement,
        rank: args.rank.min(model.config.embed_dim),
        seed: args.seed,
    };
    let (vit, planted) = plant(vit, &batches, &settings)?;
    let notes = [preprocessing::note(&preprocess)];
    weights::save_with_notes(&vit, &model.arch, &model.config, &notes, &args.out)?;
    println!(
        "hidden unit {} of block {} now writes a vector of norm {:.1} ({:.1} times the median patch norm) on {:.1} % of the patches; {:.0} % of those have less than the median pixel variance",
        planted.hidden_unit,
        settings.block,
        planted.norm,
        settings.strength,
        planted.fires_on * 100.0,
        planted.precision * 100.0,
    );
    println!("wrote {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Evenly spread images of a set, in batches of 32.
fn batches(
    images: &SharedImages,
    count: usize,
    eval: &EvalSettings,
    device: &Device,
) -> Result<Vec<Tensor<4>>> {
    let count = count.clamp(1, images.len());
    let chosen: Vec<usize> = (0..count).map(|i| i * images.len() / count).collect();
    let [height, width] = eval.transform.size;
    let batch = |indices: &[usize]| -> Result<Tensor<4>> {
        let mut pixels = Vec::new();
        for &index in indices {
            eval.normalise.append(&eval_crop(&images.read(index)?, &eval.transform), &mut pixels);
        }
        Ok(Tensor::from_data(TensorData::new(pixels, [indices.len(), 3, height, width]), device))
    };
    chosen.chunks(32).map(batch).collect()
}
