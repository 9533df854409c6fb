use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::args::DepthArgs;
use super::dense::{DEFAULTS, features, size, spread};
use super::outcome::{Outcome, make_folder, percent};
use super::subject::{Subject, fit_settings};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::{DenseSet, DepthMap, DepthPairs, DepthSet, Split};
use crate::error::{Error, Result};
use crate::probe::metrics::DepthErrors;
use crate::probe::{
    DepthBins, DepthReport, DepthTask, FeatureRows, LinearHead, PatchRows, fit, predict_depth,
    score_depth,
};
use crate::report::probe::{DepthImage, depth_sheet};

/// A set whose depth maps were all looked into.
fn set(
    place: &str,
    split: Split,
    side: usize,
    unit: f32,
) -> Result<Box<dyn DenseSet<Truth = DepthMap>>> {
    if !DepthSet::is_layout(place) {
        return Ok(Box::new(DepthPairs::open(Path::new(place), unit)?));
    }
    let set = DepthSet::open(place, split)?.with_scene_side(side);
    set.check()?;
    Ok(Box::new(set))
}

pub(super) fn run(args: &DepthArgs) -> Result<ExitCode> {
    let bins =
        DepthBins { count: args.bins, max_depth: args.max_depth, temperature: args.temperature };
    bins.check()?;
    if !(args.unit.is_finite() && args.unit > 0.0) {
        return Err(Error::config("--unit must be above 0"));
    }
    let subject = Subject::open(&args.model)?;
    let size = size(&args.dense, &subject)?;
    let settings = fit_settings(&args.fit, args.dense.lr, &DEFAULTS)?;
    let mut outcome = Outcome::begin("depth");
    let side = session::scene_side(subject.model.config());
    let train = set(&args.train, Split::Train, side, args.unit)?;
    let test = set(&args.test, Split::Test, side, args.unit)?;
    let (train, test) = (train.as_ref(), test.as_ref());
    outcome.lap("check");
    make_folder(args.fit.out.as_deref())?;
    if !subject.has_class_token() && !args.fit.json {
        say!("the model has no class token; its mean patch is taken");
    }

    let shown = Shown::new(args.fit.json);
    let limit = args.dense.limit;
    let of_train = features(&subject, train, "training images", size, limit, &shown)?;
    let of_test = features(&subject, test, "test images", size, limit, &shown)?;
    outcome.lap("features");

    let at = args.loss_at.into();
    let task = DepthTask { set: train, places: &of_train.places, grid: of_train.grid, at, bins };
    let rows = PatchRows { store: &of_train.store, with_class: true };
    let all: Vec<usize> = (0..rows.len()).collect();
    let mut report = |progress| shown.fit(progress);
    let head = fit(&rows, &all, &task, &settings, subject.opened.burn(), &mut report)?;
    outcome.lap("fit");

    let task = DepthTask { set: test, places: &of_test.places, grid: of_test.grid, at, bins };
    let rows = PatchRows { store: &of_test.store, with_class: true };
    let scores = score_depth(&head, &rows, &task, &mut |done| shown.scored(done, rows.len()))?;
    shown.finish();
    outcome.lap("score");

    let config = json!({
        "model": subject.description(),
        "train": args.train,
        "test": args.test,
        "train_images": of_train.places.len(),
        "test_images": of_test.places.len(),
        "size": size,
        "unit": args.unit,
        "bins": bins,
        "loss_at": crate::probe::LossAt::from(args.loss_at),
        "fit": settings,
    });
    let picture = match args.fit.out {
        Some(_) if args.dense.show > 0 => {
            Some(draw(&head, &rows, &task, args.dense.show, &subject)?)
        }
        _ => None,
    };
    outcome.report(&args.fit, &config, &json!(scores), &table(&scores), &head, picture)?;
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

fn table(scores: &DepthReport) -> Vec<(String, String)> {
    let DepthReport { pixels, images } = scores;
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

fn draw(
    head: &LinearHead,
    rows: &PatchRows<'_>,
    task: &DepthTask<'_>,
    count: usize,
    subject: &Subject,
) -> Result<image::RgbImage> {
    let images = task.set.images();
    let shown = spread(count, rows.len()).into_iter().map(|index| {
        let place = task.places[index];
        let truth = task.set.truth(place)?;
        let logits = head.outputs_of(rows.gather(&[index]))?;
        let depths = predict_depth(&logits, task.grid, truth.size, &task.bins);
        let mut errors = DepthErrors::default();
        errors.add(&truth.metres, &depths, task.bins.max_depth);
        let known = |depth: f32| if task.bins.bin(depth).is_some() { depth } else { f32::NAN };
        Ok(DepthImage {
            name: images.name(place),
            input: images.read(place)?,
            size: truth.size,
            rmse: errors.scores().map(|scores| scores.rmse),
            truth: truth.metres.into_iter().map(known).collect(),
            prediction: depths,
        })
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    depth_sheet(&shown, task.bins.max_depth, subject.model.arch())
}
