use serde_json::json;

use super::args::DepthArgs;
use super::report::{Report, make_folder, percent};
use super::subject::{Subject, set_name};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::{Split, open_depths};
use crate::error::Result;
use crate::probe::{DepthBins, DepthEstimation, DepthSetScores};
use crate::report::probe::depth_sheet;

pub(super) fn run(args: &DepthArgs) -> Result<()> {
    let bins =
        DepthBins { count: args.bins, max_depth: args.max_depth, temperature: args.temperature };
    bins.check()?;
    let subject = Subject::open(&args.model)?;
    let model = &subject.model;
    let dense = subject.dense(&args.fit, &args.dense, args.loss_at)?;
    let probe = DepthEstimation { dense, bins };
    let mut report = Report::begin("depth");
    let side = session::scene_side(model.config());
    let train = open_depths(&args.train, Split::Train, args.unit, side)?;
    let test = open_depths(&args.test, Split::Test, args.unit, side)?;
    report.checked();
    make_folder(args.fit.out.as_deref())?;
    subject.announce_token(args.fit.json);

    let shown = Shown::new(args.fit.json);
    let show = |event| shown.probe(event, set_name);
    let found = probe.run(model, train.as_ref(), test.as_ref(), show)?;
    shown.finish();
    let config = json!({
        "train": args.train,
        "test": args.test,
        "train_images": found.train_images,
        "passed_over": found.passed_over,
        "test_images": found.test_images,
        "size": found.size,
        "unit": args.unit,
        "bins": bins,
        "loss_at": args.loss_at,
        "fit": probe.dense.fit,
    });
    let sheet = (!found.samples.is_empty())
        .then(|| depth_sheet(&found.samples, bins.max_depth, model.arch()))
        .transpose()?;
    let rows = table(&found.scores);
    let images = format!("{} training and {} test images", found.train_images, found.test_images);
    let passed_over = found.passed_over;
    let (found, head) = ((config, json!(found.scores), found.times), found.head);
    if !args.fit.json {
        session::report(&passed_over);
    }
    report.finish(&args.fit, &subject, found, (&rows, images), &head, sheet)
}

fn table(scores: &DepthSetScores) -> Vec<(String, String)> {
    let DepthSetScores { pixels, images } = scores;
    let mut rows = vec![
        ("RMSE over all pixels".to_owned(), format!("{:.4} m", pixels.rmse)),
        ("RMSE, mean over images".to_owned(), format!("{:.4} m", images.rmse)),
        ("MAE".to_owned(), format!("{:.4} m", pixels.mae)),
        ("REL".to_owned(), format!("{:.4}", pixels.rel)),
    ];
    for (share, bound) in pixels.delta.into_iter().zip(["1.25", "1.25²", "1.25³"]) {
        rows.push((format!("delta < {bound}"), percent(share)));
    }
    rows
}
