use std::process::ExitCode;

use comfy_table::Table;
use serde_json::json;

use super::args::EvaluateArgs;
use super::preprocessing::preprocess;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::error::Result;
use crate::eval::{accuracy, class_features, knn_accuracy};
use crate::run::DataConfig;

pub(super) fn run(args: &EvaluateArgs) -> Result<ExitCode> {
    let mut model = models::open(&args.weights, args.arch.as_deref())?;
    let data = args.preprocess.over(DataConfig::default())?;
    let preprocess = preprocess(&data, &model)?;
    let opened = Device::open(&args.device)?;
    if args.untrained {
        model = model.without_weights();
    }
    let vit = models::build(&model, 0, opened.burn())?;

    let side = session::scene_side(&model.config);
    let train = session::labelled(&args.train, Split::Train, side)?;
    let test = session::labelled(&args.test, Split::Test, side)?;
    let limit = Some(args.limit.max(1));
    let settings = data.eval_settings(model.config.img_size, &preprocess, args.batch.max(1), limit);

    let bank = class_features(&vit, &train, &settings, opened.burn())?;
    let queries = class_features(&vit, &test, &settings, opened.burn())?;
    let knn = knn_accuracy(&bank, &queries, opened.burn())?;
    let has_head = model.config.num_classes == test.classes().len();
    let head = (has_head && !args.untrained)
        .then(|| accuracy(&vit, &test, &settings, opened.burn()))
        .transpose()?;

    if args.json {
        let report = json!({
            "weights": args.weights,
            "untrained": args.untrained,
            "head_top1": head,
            "knn_top1": knn,
            "train_images": bank.labels.len(),
            "test_images": queries.labels.len(),
            "preprocess": preprocess,
            "last_block_norms": queries.norms,
        });
        say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header(["measure", "value"]);
    if let Some(head) = head {
        table.add_row(["top-1 of the head", &format!("{:.2} %", head * 100.0)]);
    }
    let neighbours = format!("{:.2} %", knn * 100.0);
    table.add_row(["top-1 of 20 nearest neighbours", &neighbours]);
    if let Some(norms) = queries.norms {
        let ratio = format!("{:.2}", norms.max_over_median);
        let share = format!("{:.2} %", norms.outlier_share * 100.0);
        table.add_row(["last block: largest over median patch norm", &ratio]);
        table.add_row(["last block: patches above 3x the median", &share]);
    }
    say!("{table}");
    say!(
        "{} neighbours, {} test images, {}, {}",
        bank.labels.len(),
        queries.labels.len(),
        preprocess.describe(),
        opened.name()
    );
    Ok(ExitCode::SUCCESS)
}
