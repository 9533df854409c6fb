use std::process::ExitCode;

use serde_json::json;

use super::args::PlantArgs;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::plant::{PlantSettings, plant};
use crate::run::{DataConfig, batches};

pub(super) fn run(args: &PlantArgs) -> Result<ExitCode> {
    let shape = args.shape.open(&args.weights)?;
    let placement = serde_json::from_value(json!(args.placement)).map_err(|_| {
        Error::config(format!("--placement {}: use inside, mixed or outside", args.placement))
    })?;
    let data = args.preprocess.over(DataConfig::default())?;
    let images = session::images(
        &args.data,
        Split::Train,
        session::scene_side(&shape.config),
        Some(args.images),
    )?;
    let model = models::load(shape, &data, &Device::cpu())?;
    let (batches, passed_over) = batches(&model, &images, args.images, data.max_unreadable)?;
    let settings = PlantSettings {
        block: args.block,
        strength: args.strength,
        share: args.share,
        placement,
        rank: args.rank.min(model.config().embed_dim),
        seed: args.seed,
    };
    let (vit, planted) = plant(model.vit().clone(), &batches, &settings)?;
    Model::from_parts(vit, model.arch(), model.config().clone(), *model.preprocess())
        .save(&args.out)?;
    say!(
        "hidden unit {} of block {} now writes a vector of norm {:.1} ({:.1} times the median patch norm) on {:.1} % of the patches; {:.0} % of those have less than the median pixel variance",
        planted.hidden_unit,
        settings.block,
        planted.norm,
        settings.strength,
        planted.fires_on * 100.0,
        planted.precision * 100.0,
    );
    session::report(passed_over.as_ref());
    say!("wrote {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}
