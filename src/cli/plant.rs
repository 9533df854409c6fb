use std::process::ExitCode;

use burn::tensor::Device;
use serde_json::json;

use super::args::PlantArgs;
use super::config::DataConfig;
use super::preprocessing::preprocess;
use super::{models, session};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::plant::{PlantSettings, plant};

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
    let batches = session::batches(&images, args.images, &eval, &device)?;
    let settings = PlantSettings {
        block: args.block,
        strength: args.strength,
        share: args.share,
        placement,
        rank: args.rank.min(model.config.embed_dim),
        seed: args.seed,
    };
    let (vit, planted) = plant(vit, &batches, &settings)?;
    Model::from_parts(vit, model.arch, model.config, preprocess).save(&args.out)?;
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
