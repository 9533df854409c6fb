use std::slice::from_ref;

use serde_json::{Value, json};

use super::args::ClassifyArgs;
use super::report::{Report, make_folder, percent};
use super::subject::{Subject, fit_settings};
use crate::cli::progress::Shown;
use crate::cli::session;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::probe::{
    Classification, ClassificationScores, HeadFitSettings, ProbedSet, SetScores, class_map,
};

pub(super) fn run(args: &ClassifyArgs) -> Result<()> {
    if args.test.is_none() && args.subset.is_empty() {
        return Err(Error::config("there is nothing to measure on; give --test or --subset"));
    }
    let subject = Subject::open(&args.model)?;
    let probe = Classification {
        extraction: subject.extraction.clone(),
        fit: fit_settings(&args.fit, args.lr.first().copied(), HeadFitSettings::default()),
        token: args.token,
        rates: args.lr.clone(),
        neighbours: !args.no_knn,
        limit: args.limit,
    };
    probe.check()?;
    let train = session::labelled(from_ref(&args.train), Split::Train, args.limit)?;
    let open = |place: &String| {
        let set = session::labelled(from_ref(place), Split::Test, args.limit)?;
        class_map(train.images().classes(), set.images().classes())
            .map_err(|error| Error::data(place, error.to_string()))?;
        Ok(set)
    };
    let test = args.test.as_ref().map(open).transpose()?;
    let subsets = args.subset.iter().map(open).collect::<Result<Vec<_>>>()?;
    make_folder(args.fit.out.as_deref())?;
    if args.token != crate::probe::Token::Mean {
        subject.announce_token(args.fit.json);
    }

    let report = Report::begin("classify");
    let shown = Shown::new(args.fit.json);
    let name = |set| match set {
        ProbedSet::Train => args.train.as_str(),
        ProbedSet::Test => args.test.as_deref().unwrap_or_default(),
        ProbedSet::Subset(index) => args.subset[index].as_str(),
    };
    let show = |event| shown.probe(event, name);
    let found = probe.run(&subject.model, &train, test.as_ref(), &subsets, show)?;
    shown.finish();
    let config = json!({
        "train": args.train,
        "train_images": found.train_images,
        "passed_over": found.passed_over,
        "size": subject.model.config().img_size,
        "token": args.token,
        "classes": found.classes,
        "limit": args.limit,
        "fit": found.fit,
    });
    let (result, rows) = results(&found.scores, args);
    let images = format!(
        "{} training images of {} classes, lr {}",
        found.train_images,
        found.classes.len(),
        found.fit.optimizer.lr()
    );
    let passed_over = found.passed_over;
    let (found, head) = ((config, result, found.times), found.head);
    if !args.fit.json {
        session::report(&passed_over);
    }
    report.finish(&args.fit, &subject, found, (&rows, images), &head, None)
}

/// The scores as JSON, with the sets' places, and as lines of a table.
fn results(scores: &ClassificationScores, args: &ClassifyArgs) -> (Value, Vec<(String, String)>) {
    let mut result = json!(scores);
    let mut rows = Vec::new();
    for point in &scores.sweep {
        let measure = format!("lr {}: top-1 of the held-out tenth", point.lr);
        rows.push((measure, percent(point.held_out_top1)));
    }
    let mut add = |name: &str, set: &SetScores| {
        rows.push((format!("{name}: top-1"), percent(set.top1)));
        rows.push((format!("{name}: top-5"), percent(set.top5)));
        if let Some(knn) = set.knn_top1 {
            rows.push((format!("{name}: top-1 of 20 nearest neighbours"), percent(knn)));
        }
        rows.push((format!("{name}: images"), set.images.to_string()));
    };
    if let Some(test) = &scores.test {
        result["test"]["set"] = json!(args.test);
        add("test", test);
    }
    for (index, (set, place)) in scores.subsets.iter().zip(&args.subset).enumerate() {
        result["subsets"][index]["set"] = json!(place);
        add(&format!("{place}, {} classes", set.classes), set);
    }
    (result, rows)
}
