use std::path::Path;
use std::process::ExitCode;

use super::args::PlantArgs;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use crate::plant::{Kind, Placement, PlantSettings, plant};
use crate::run::{DataConfig, batches};
use crate::vit::Vit;

pub(super) fn run(args: &PlantArgs) -> Result<ExitCode> {
    let shape = args.shape.open(&args.weights)?;
    let placement = session::named("--placement", [&args.placement], &Placement::ALL)?.remove(0);
    let kind = session::named("--kind", [&args.kind], &Kind::ALL)?.remove(0);
    let data = args.preprocess.over(DataConfig::default())?;
    let images = session::images(
        &args.data,
        Split::Train,
        session::scene_side(&shape.config),
        Some(args.images),
    )?;
    let model = models::load(shape, &data, &Device::cpu())?;
    let (batches, passed_over) = batches(&model, &images, args.images, data.max_unreadable)?;
    let settings = PlantSettings::default().with(|s| {
        (s.block, s.kind, s.placement) = (args.block, kind, placement);
        (s.strength, s.share, s.class_share) = (args.strength, args.share, args.class_share);
        (s.rank, s.seed) = (args.rank.min(model.config().embed_dim), args.seed);
    });
    let (vit, planted) = plant(model.vit().clone(), &batches, &settings)?;
    let save = |vit: Vit, path: &Path| {
        Model::from_parts(vit, model.arch(), model.config().clone(), *model.preprocess()).save(path)
    };
    save(vit, &args.out)?;
    for (block, units) in &planted.units {
        let who = match units.as_slice() {
            [unit] => format!("hidden unit {unit} of block {block} now writes"),
            units => format!("{} hidden units of block {block} now write", units.len()),
        };
        say!("{who} artifacts of the kind {}", kind.name());
    }
    say!(
        "the vector has a norm of {:.1} ({:.1} times the median patch norm) and is written on {:.1} % of the patches; {:.0} % of those have less than the median pixel variance",
        planted.norm,
        settings.strength,
        planted.fires_on * 100.0,
        planted.precision * 100.0,
    );
    if kind == Kind::ClassToken {
        say!(
            "it is written into the class token of {:.0} % of the images",
            planted.class_token * 100.0
        );
    }
    if kind == Kind::Shrunk {
        say!("{:.0} % of the content of these patches is left", planted.content * 100.0);
    }
    session::report(passed_over.as_ref());
    say!("wrote {}", args.out.display());
    if let Some(clean) = &args.clean {
        save(planted.silence(model.vit().clone()), clean)?;
        say!("wrote {}, the same model with these hidden units silent", clean.display());
    }
    Ok(ExitCode::SUCCESS)
}
