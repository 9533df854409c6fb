use serde_json::{Map, Value, json};

use super::args::SegmentArgs;
use super::report::{Report, make_folder, percent};
use super::subject::{Subject, set_name};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::{LabelRule, open_segments};
use crate::error::{Error, Result};
use crate::probe::Segmentation;
use crate::probe::metrics::SegmentationScores;
use crate::report::probe::segmentation_sheet;

pub(super) fn run(args: &SegmentArgs) -> Result<()> {
    let subject = Subject::open(&args.model)?;
    let model = &subject.model;
    let probe = Segmentation { dense: subject.dense(&args.fit, &args.dense, args.loss_at)? };
    let mut report = Report::begin("segment");
    let places = [args.train.as_str(), args.test.as_str()];
    let [train, test] = open_segments(places, &rule(args)?, session::scene_side(model.config()))?;
    report.checked();
    make_folder(args.fit.out.as_deref())?;

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
        "classes": train.classes(),
        "ignore": args.ignore,
        "loss_at": args.loss_at,
        "fit": probe.dense.fit,
    });
    let (result, rows) = results(&found.scores, train.classes());
    let sheet = (!found.samples.is_empty())
        .then(|| segmentation_sheet(&found.samples, model.arch()))
        .transpose()?;
    let images = format!("{} training and {} test images", found.train_images, found.test_images);
    let passed_over = found.passed_over;
    let (found, head) = ((config, result, found.times), found.head);
    if !args.fit.json {
        session::report(&passed_over);
    }
    report.finish(&args.fit, &subject, found, (&rows, images), &head, sheet)
}

fn rule(args: &SegmentArgs) -> Result<LabelRule> {
    if let Some(count) = args.classes {
        return Ok(LabelRule::numbered(args.ignore.clone(), count));
    }
    let read = |path| std::fs::read_to_string(path).map_err(|error| Error::io(path, error));
    let names = args.names.as_ref().map(read).transpose()?.map(|text| {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    });
    Ok(LabelRule { ignore: args.ignore.clone(), names })
}

/// The scores as JSON, with the classes' names, and as lines of a table.
fn results(scores: &SegmentationScores, classes: &[String]) -> (Value, Vec<(String, String)>) {
    let by_class = |values: &[Option<f64>]| -> Value {
        let pairs = classes.iter().zip(values);
        pairs.map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
    };
    let mut result = json!(scores);
    result["class_iou"] = by_class(&scores.class_iou);
    result["class_accuracy"] = by_class(&scores.class_accuracy);
    let mut rows = vec![
        ("mIoU".to_owned(), percent(scores.miou)),
        ("pixel accuracy".to_owned(), percent(scores.pixel_accuracy)),
        ("mean accuracy".to_owned(), percent(scores.mean_accuracy)),
    ];
    for (name, iou) in classes.iter().zip(&scores.class_iou) {
        rows.push((format!("IoU of {name}"), iou.map_or("absent".to_owned(), percent)));
    }
    (result, rows)
}
