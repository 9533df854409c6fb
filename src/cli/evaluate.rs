use std::process::ExitCode;

use comfy_table::Table;
use serde_json::json;

use super::args::EvaluateArgs;
use super::{models, session};
use crate::data::{ImageSet, Split};
use crate::device::Device;
use crate::error::Result;
use crate::probe::{EvalSettings, evaluate};
use crate::run::DataConfig;

pub(super) fn run(args: &EvaluateArgs) -> Result<ExitCode> {
    let mut shape = args.shape.open(&args.weights)?;
    let data = args.preprocess.over(DataConfig::default())?;
    let device = Device::open(&args.device)?;
    if args.untrained {
        shape = shape.without_weights();
    }
    let mut model = models::load(shape, &data, &device)?;
    if args.untrained {
        model = model.without_head();
    }
    let side = session::scene_side(model.config());
    let limit = Some(args.limit.max(1));
    let labelled = |places: &[String], split| -> Result<ImageSet> {
        Ok(session::labelled(places, split, limit)?.images().with_scene_side(side))
    };
    let train = labelled(&args.train, Split::Train)?;
    let test = labelled(&args.test, Split::Test)?;
    let settings = EvalSettings {
        batch: args.batch.max(1),
        workers: data.workers.max(1),
        limit,
        ..EvalSettings::of(&model)
    };
    let found = evaluate(&model, &train, &test, &settings)?;

    if args.json {
        let mut report = json!(found);
        report["weights"] = json!(args.weights);
        report["untrained"] = json!(args.untrained);
        report["preprocess"] = json!(model.preprocess());
        say!("{report:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mut table = Table::new();
    table.set_header(["measure", "value"]);
    if let Some(head) = found.head_top1 {
        table.add_row(["top-1 of the head", &percent(head)]);
    }
    table.add_row(["top-1 of 20 nearest neighbours", &percent(found.knn_top1)]);
    if let Some(norms) = found.last_block_norms {
        let ratio = format!("{:.2}", norms.max_over_median);
        table.add_row(["last block: largest over median patch norm", &ratio]);
        let share = format!("{:.2} %", norms.outlier_share * 100.0);
        table.add_row(["last block: patches above 3x the median", &share]);
    }
    say!("{table}");
    say!(
        "{} neighbours, {} test images, {}, {}",
        found.train_images,
        found.test_images,
        model.preprocess().describe(),
        device.name()
    );
    Ok(ExitCode::SUCCESS)
}
