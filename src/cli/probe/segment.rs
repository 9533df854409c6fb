use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::SegmentArgs;
use super::dense::{DEFAULTS, features, size, spread};
use super::outcome::{Outcome, make_folder, percent};
use super::subject::{Subject, fit_settings};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::{LabelPairs, LabelRule, SegmentSet, SegmentationSet, Split};
use crate::error::{Error, Result};
use crate::probe::metrics::{Confusion, SegmentationScores};
use crate::probe::{
    FeatureRows, LinearHead, PatchRows, SegmentTask, fit, predict_labels, score_segments,
};
use crate::report::probe::{SegmentedImage, segmentation_sheet};

pub(super) fn run(args: &SegmentArgs) -> Result<ExitCode> {
    let subject = Subject::open(&args.model)?;
    let size = size(&args.dense, &subject)?;
    let settings = fit_settings(&args.fit, args.dense.lr, &DEFAULTS)?;
    let mut outcome = Outcome::begin("segment");
    let side = session::scene_side(subject.model.config());
    let [train, test] = sets(args, side)?;
    let (train, test) = (train.as_ref(), test.as_ref());
    outcome.lap("check");
    make_folder(args.fit.out.as_deref())?;

    let shown = Shown::new(args.fit.json);
    let limit = args.dense.limit;
    let of_train = features(&subject, train, "training images", size, limit, &shown)?;
    let of_test = features(&subject, test, "test images", size, limit, &shown)?;
    outcome.lap("features");

    let at = args.loss_at.into();
    let train_task = SegmentTask { set: train, places: &of_train.places, grid: of_train.grid, at };
    let rows = PatchRows { store: &of_train.store, with_class: false };
    let all: Vec<usize> = (0..rows.len()).collect();
    let mut report = |progress| shown.fit(progress);
    let head = fit(&rows, &all, &train_task, &settings, subject.opened.burn(), &mut report)?;
    outcome.lap("fit");

    let test_task = SegmentTask { set: test, places: &of_test.places, grid: of_test.grid, at };
    let rows = PatchRows { store: &of_test.store, with_class: false };
    let scores =
        score_segments(&head, &rows, &test_task, &mut |done| shown.scored(done, rows.len()))?;
    shown.finish();
    outcome.lap("score");

    let config = json!({
        "model": subject.description(),
        "train": args.train,
        "test": args.test,
        "train_images": of_train.places.len(),
        "test_images": of_test.places.len(),
        "size": size,
        "classes": train.classes(),
        "ignore": args.ignore,
        "loss_at": crate::probe::LossAt::from(args.loss_at),
        "fit": settings,
    });
    let (result, table) = results(&scores, train.classes());
    let picture = match args.fit.out {
        Some(_) if args.dense.show > 0 => {
            Some(draw(&head, &rows, &test_task, args.dense.show, &subject)?)
        }
        _ => None,
    };
    outcome.report(&args.fit, &config, &result, &table, &head, picture)?;
    if !args.fit.json {
        say!(
            "{} training and {} test images, {}",
            of_train.places.len(),
            of_test.places.len(),
            subject.note()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The training and the test set, of the same classes.
fn sets(args: &SegmentArgs, side: usize) -> Result<[Box<dyn SegmentationSet>; 2]> {
    let places = [args.train.as_str(), args.test.as_str()];
    if !places.iter().any(|place| SegmentSet::is_layout(place)) {
        let sets = LabelPairs::open(&places.map(Path::new), &rule(args)?)?;
        let sets: Vec<Box<dyn SegmentationSet>> =
            sets.into_iter().map(|set| Box::new(set) as Box<dyn SegmentationSet>).collect();
        return sets.try_into().map_err(|_| Error::config("two sets are needed"));
    }
    let train = SegmentSet::open(places[0], Split::Train)?.with_scene_side(side);
    let test = SegmentSet::open(places[1], Split::Test)?.with_scene_side(side);
    if train.classes() != test.classes() {
        return Err(Error::config(format!(
            "{} and {} have other classes; measure on the set that the head learnt from",
            places[0], places[1]
        )));
    }
    train.check()?;
    test.check()?;
    Ok([Box::new(train), Box::new(test)])
}

fn rule(args: &SegmentArgs) -> Result<LabelRule> {
    if let Some(count) = args.classes {
        return Ok(LabelRule::numbered(args.ignore.clone(), count));
    }
    let names = match &args.names {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            let names: Vec<String> = text
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect();
            Some(names)
        }
    };
    Ok(LabelRule { ignore: args.ignore.clone(), names })
}

/// The scores as JSON and as lines of a table.
fn results(scores: &SegmentationScores, classes: &[String]) -> (Value, Vec<(String, String)>) {
    let by_class = |values: &[Option<f64>]| -> Value {
        let pairs = classes.iter().zip(values);
        pairs
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let result = json!({
        "miou": scores.miou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "class_iou": by_class(&scores.class_iou),
        "class_accuracy": by_class(&scores.class_accuracy),
        "pixels": scores.pixels,
    });
    let mut rows = vec![
        ("mIoU".to_owned(), percent(scores.miou)),
        ("pixel accuracy".to_owned(), percent(scores.pixel_accuracy)),
        ("mean accuracy".to_owned(), percent(scores.mean_accuracy)),
    ];
    for (name, iou) in classes.iter().zip(&scores.class_iou) {
        let value = iou.map_or("absent".to_owned(), percent);
        rows.push((format!("IoU of {name}"), value));
    }
    (result, rows)
}

fn draw(
    head: &LinearHead,
    rows: &PatchRows<'_>,
    task: &SegmentTask<'_>,
    count: usize,
    subject: &Subject,
) -> Result<image::RgbImage> {
    let images = task.set.images();
    let shown = spread(count, rows.len()).into_iter().map(|index| {
        let place = task.places[index];
        let truth = task.set.truth(place)?;
        let logits = head.outputs_of(rows.gather(&[index]))?;
        let labels = predict_labels(&logits, task.grid, truth.size);
        let mut confusion = Confusion::new(task.set.classes().len());
        confusion.add(&truth.labels, &labels);
        Ok(SegmentedImage {
            name: images.name(place),
            input: images.read(place)?,
            size: truth.size,
            accuracy: confusion.scores().pixel_accuracy,
            truth: truth.labels,
            prediction: labels,
        })
    });
    segmentation_sheet(&shown.collect::<Result<Vec<_>>>()?, subject.model.arch())
}
