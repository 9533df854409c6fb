use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{ClassifyArgs, OptimizerArg, TokenArg};
use super::outcome::{Outcome, make_folder, percent};
use super::subject::{Defaults, Subject, fit_settings};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::{ClassifySet, ImageSet, Split};
use crate::error::{Error, Result};
use crate::probe::features::View;
use crate::probe::{
    ClassTask, FeatureRows, FeatureStore, LabelledFeatures, LinearHead, Standing, TokenRows,
    class_map, fit, knn_accuracy, score_classes, sweep,
};

const DEFAULTS: Defaults = Defaults { batch: 256, epochs: 100, optimizer: OptimizerArg::Sgd };

/// A set of images with the head's class of each.
struct Labelled {
    /// As the user named it.
    place: String,
    images: ImageSet,
    labels: Vec<usize>,
    /// The head's classes that the set has, ascending.
    among: Vec<usize>,
}

impl Labelled {
    fn open(
        place: &str,
        split: Split,
        side: usize,
        limit: Option<usize>,
        head: Option<&[String]>,
    ) -> Result<Self> {
        let set = ClassifySet::open(place, split)?;
        let images = set.images().with_scene_side(side);
        let map = match head {
            Some(head) => class_map(head, images.classes())
                .map_err(|error| Error::config(format!("{place}: {error}")))?,
            None => (0..images.classes().len()).collect(),
        };
        let images = limit.map_or(images.clone(), |limit| images.sample(limit));
        let labels =
            (0..images.len()).filter_map(|index| Some(map[images.label(index)?])).collect();
        let mut among = match set.subset() {
            Some(subset) => subset.iter().map(|&class| map[class]).collect(),
            None => map,
        };
        among.sort_unstable();
        among.dedup();
        Ok(Self { place: place.to_owned(), images, labels, among })
    }
}

/// A measured set.
struct Scored {
    place: String,
    standing: Standing,
    knn: Option<f64>,
    /// Classes compared.
    classes: usize,
}

pub(super) fn run(args: &ClassifyArgs) -> Result<ExitCode> {
    if args.test.is_none() && args.subset.is_empty() {
        return Err(Error::config("there is nothing to measure on; give --test or --subset"));
    }
    if args.limit == Some(0) {
        return Err(Error::config("--limit must be at least 1"));
    }
    let subject = Subject::open(&args.model)?;
    let side = session::scene_side(subject.model.config());
    let train = Labelled::open(&args.train, Split::Train, side, args.limit, None)?;
    let classes = train.images.classes().to_vec();
    let others = args.test.iter().chain(&args.subset);
    let others = others
        .map(|place| Labelled::open(place, Split::Test, side, args.limit, Some(&classes)))
        .collect::<Result<Vec<_>>>()?;
    let mut settings = fit_settings(&args.fit, args.lr.first().copied(), &DEFAULTS)?;
    for &lr in &args.lr {
        fit_settings(&args.fit, Some(lr), &DEFAULTS)?;
    }
    make_folder(args.fit.out.as_deref())?;
    if args.token != TokenArg::Mean && !subject.has_class_token() && !args.fit.json {
        say!("the model has no class token; its mean patch is taken");
    }

    let shown = Shown::new(args.fit.json);
    let mut outcome = Outcome::begin("classify");
    let size = subject.model.config().img_size;
    let features = |set: &Labelled| {
        subject.features(&set.place, &set.images, (size, View::Crop), false, &shown)
    };
    let train_store = features(&train)?;
    let stores = others.iter().map(features).collect::<Result<Vec<FeatureStore>>>()?;
    outcome.lap("features");

    let token = args.token.into();
    let rows = TokenRows { store: &train_store, token };
    let task = ClassTask { classes: classes.len(), labels: train.labels.clone() };
    let device = subject.opened.burn();
    let mut tried = Vec::new();
    let mut report = |progress| shown.fit(progress);
    if args.lr.len() > 1 {
        let (best, all) = sweep(&rows, &task, &settings, &args.lr, device, &mut report)?;
        settings.optimizer.set_lr(best);
        tried = all;
        outcome.lap("sweep");
    }
    let all: Vec<usize> = (0..rows.len()).collect();
    let head = fit(&rows, &all, &task, &settings, device, &mut report)?;
    outcome.lap("fit");

    let scored = score(args, &head, (&rows, &train), &stores, &others, &subject)?;
    shown.finish();
    outcome.lap("score");
    let config = json!({
        "model": subject.description(),
        "train": args.train,
        "train_images": train.labels.len(),
        "size": size,
        "token": crate::probe::Token::from(args.token),
        "classes": classes,
        "limit": args.limit,
        "fit": settings,
    });
    let (result, table) = results(&scored, args.test.is_some(), &tried);
    outcome.report(&args.fit, &config, &result, &table, &head, None)?;
    if !args.fit.json {
        say!(
            "{} training images of {} classes, lr {}, {}",
            train.labels.len(),
            classes.len(),
            settings.optimizer.lr(),
            subject.note()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn score(
    args: &ClassifyArgs,
    head: &LinearHead,
    (rows, train): (&TokenRows<'_>, &Labelled),
    stores: &[FeatureStore],
    others: &[Labelled],
    subject: &Subject,
) -> Result<Vec<Scored>> {
    let mut scored = Vec::new();
    for (index, (store, set)) in stores.iter().zip(others).enumerate() {
        let other = TokenRows { store, token: rows.token };
        let is_test = args.test.is_some() && index == 0;
        let among = (!is_test).then_some(set.among.as_slice());
        let all: Vec<usize> = (0..set.labels.len()).collect();
        let standing = score_classes(head, &other, &set.labels, &all, among)?;
        // Neighbours vote among all classes, so only the whole set is asked.
        let neighbours = (is_test && !args.no_knn).then(|| {
            let bank = LabelledFeatures::from_rows(rows, &train.labels);
            let queries = LabelledFeatures::from_rows(&other, &set.labels);
            knn_accuracy(&bank, &queries, subject.opened.burn())
        });
        scored.push(Scored {
            place: set.place.clone(),
            standing,
            knn: neighbours.transpose()?,
            classes: among.map_or(head.outputs(), <[usize]>::len),
        });
    }
    Ok(scored)
}

/// The scores as JSON and as lines of a table.
fn results(
    scored: &[Scored],
    has_test: bool,
    tried: &[(f64, f64)],
) -> (Value, Vec<(String, String)>) {
    let (test, subsets) = scored.split_at(usize::from(has_test));
    let json_of = |set: &Scored| {
        json!({
            "set": set.place,
            "top1": set.standing.top1,
            "top5": set.standing.top5,
            "knn_top1": set.knn,
            "images": set.standing.images,
            "classes": set.classes,
        })
    };
    let result = json!({
        "test": test.first().map(json_of),
        "subsets": subsets.iter().map(json_of).collect::<Vec<_>>(),
        "sweep": tried.iter().map(|(lr, top1)| json!({ "lr": lr, "held_out_top1": top1 })).collect::<Vec<_>>(),
    });
    let mut rows = Vec::new();
    for (lr, top1) in tried {
        rows.push((format!("lr {lr}: top-1 of the held-out tenth"), percent(*top1)));
    }
    for (index, set) in scored.iter().enumerate() {
        let name = if has_test && index == 0 {
            "test".to_owned()
        } else {
            format!("{}, {} classes", set.place, set.classes)
        };
        rows.push((format!("{name}: top-1"), percent(set.standing.top1)));
        rows.push((format!("{name}: top-5"), percent(set.standing.top5)));
        if let Some(knn) = set.knn {
            rows.push((format!("{name}: top-1 of 20 nearest neighbours"), percent(knn)));
        }
        rows.push((format!("{name}: images"), set.standing.images.to_string()));
    }
    (result, rows)
}
