//! What the report of a training says, and that its page holds it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use singer::refine::{ClosedSettings, Refiner};
use singer::report::training::{
    self, Compared, Examples, Subject, TrainingRun, Verdict, page, verdicts,
};
use singer::{Device, ImageSet, Model};

/// A run's folder with this description and these losses.
fn folder(at: &Path, description: &Value, losses: &[f64]) -> TrainingRun {
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("run.json"), description.to_string()).unwrap();
    let line = |(index, loss): (usize, &f64)| {
        let loss = if loss.is_finite() { json!(loss) } else { json!(1e39) };
        let step = index + 1;
        format!(
            "{}\n",
            json!({ "step": step, "epoch": 0.1, "lr": 1e-3, "loss": loss, "kd": 0.5, "info": 0.1 })
        )
    };
    fs::write(at.join("metrics.jsonl"), losses.iter().enumerate().map(line).collect::<String>())
        .unwrap();
    TrainingRun::read(at).unwrap()
}

fn finished(changes: Value) -> Value {
    let mut description = json!({
        "command": "distill",
        "config": { "method": "singer", "refine": "closed", "train": { "batch": 16, "steps": 100 } },
        "device": "CPU", "precision": "f32", "finished": 1, "seconds": 75.0,
    });
    for (key, value) in changes.as_object().unwrap() {
        description[key] = value.clone();
    }
    description
}

/// Whether one sentence with this part is there, and is a warning or not.
fn says(all: &[Verdict], part: &str, warning: bool) {
    let found: Vec<_> = all.iter().filter(|one| one.text.contains(part)).collect();
    assert!(matches!(found[..], [one] if one.warning == warning), "{part:?}: {all:#?}");
}

#[test]
fn words_follow_the_loss() {
    let scratch = tempfile::tempdir().unwrap();
    let of = |name: &str, loss: &dyn Fn(f64) -> f64| {
        let losses: Vec<f64> = (0..100).map(|step| loss(f64::from(step) / 100.0)).collect();
        verdicts(&folder(&scratch.path().join(name), &finished(json!({})), &losses))
    };
    says(&of("falls", &|x| 2.0 - x), "is still falling", false);
    says(&of("flat", &|x| 1.0 + (-20.0 * x).exp()), "is flat in the end", false);
    says(&of("rises", &|x| 1.0 + (x - 0.5).powi(2)), "rose in the end", true);
    says(&of("breaks", &|x| if x > 0.5 { f64::INFINITY } else { 1.0 }), "not finite", true);
    let short = folder(&scratch.path().join("short"), &finished(json!({})), &[1.0, 0.5]);
    says(&verdicts(&short), "too few to judge", false);
    says(&verdicts(&short), "2 steps in 1 min 15 s, 0.4 images/s", false);
}

#[test]
fn words_follow_the_norms() {
    let scratch = tempfile::tempdir().unwrap();
    let norms = |ratio: f64, share: f64| json!({ "median": 10.0, "max_over_median": ratio, "outlier_share": share });
    let of = |name: &str, changes: Value| {
        verdicts(&folder(&scratch.path().join(name), &finished(changes), &[1.0]))
    };
    let result = |refined: Value, student: Value| {
        let layer = json!({ "layer": 3, "raw": norms(10.2, 0.02), "refined": refined });
        json!({ "result": { "norms": [layer], "student_norms": student } })
    };
    let good = of("good", result(norms(1.4, 0.0), norms(1.3, 0.0)));
    says(&good, "largest patch norm is 10.2 times the median, refined 1.4.", false);
    says(&good, "it has no artifacts", false);
    let bad = of("bad", result(norms(8.0, 0.012), norms(4.2, 0.01)));
    says(&bad, "1.2 % of patches are still above", true);
    says(&bad, "artifacts of its own or its teacher's", true);
    says(&of("clean", json!({ "closed_form": [] })), "No artifacts were found", false);
    let going = of("going", json!({ "finished": null }));
    says(&going, "at step 1 of 100", true);
}

#[test]
fn a_page_of_several_runs_has_a_line_for_each_and_the_settings_that_differ() {
    let scratch = tempfile::tempdir().unwrap();
    let run = |name: &str, lr: f64| {
        let config = json!({ "optimizer": { "lr": lr }, "seed": 7, "note": "<script>" });
        folder(&scratch.path().join(name), &finished(json!({ "config": config })), &[1.0, 0.9])
    };
    let runs = [run("first", 0.001), run("second", 0.002)];
    let both = page(&runs, Some(5)).unwrap();
    for part in [
        "optimizer.lr",
        "0.001",
        "0.002",
        "http-equiv=\"refresh\" content=\"5\"",
        "\nkd\n",
        "\nlearning rate\n",
    ] {
        assert!(both.contains(part), "{part} is missing");
    }
    assert!(!both.contains("seed"), "a setting that agrees is listed");
    assert_eq!(both.matches("<svg").count(), 4, "loss, two terms, the learning rate");
    let one = page(&runs[..1], None).unwrap();
    assert!(one.contains("seed") && !one.contains("refresh") && !one.contains("<script>"));
    let written = training::write(&runs, &scratch.path().join("page.html"), None).unwrap();
    assert!(fs::read_to_string(written).unwrap().starts_with("<!DOCTYPE html>"));
}

#[test]
fn a_line_that_is_being_written_is_left_out_and_damage_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("run");
    folder(&at, &finished(json!({})), &[1.0, 0.9]);
    let file = at.join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{{\"step\":3,\"ep")).unwrap();
    assert_eq!(TrainingRun::read(&at).unwrap().records.len(), 2);
    fs::write(&file, format!("nonsense\n{text}")).unwrap();
    let error = TrainingRun::read(&at).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl") && error.contains("damaged"), "{error}");
    let error = TrainingRun::read(scratch.path()).unwrap_err().to_string();
    assert!(error.contains("no run's folder"), "{error}");
}

#[test]
fn words_follow_the_pace_and_steps_done_anew_count_once() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("run");
    folder(&at, &finished(json!({})), &[1.0, 0.9, 0.8]);
    let line = |step: usize, waiting: f64| {
        let time = 100 + step;
        format!(
            "{}\n",
            json!({ "step": step, "time": time, "images_per_second": 50.0, "waiting": waiting })
        )
    };
    // Killed after step 3, and gone on with after step 1.
    let lines = [line(1, 0.9), line(2, 0.9), line(3, 0.9), line(2, 0.4), line(3, 0.2)];
    fs::write(at.join("pace.jsonl"), lines.concat()).unwrap();
    let run = TrainingRun::read(&at).unwrap();
    assert_eq!(run.pace.iter().map(|pace| pace.step).collect::<Vec<_>>(), [1, 2, 3]);
    says(&verdicts(&run), "waited for images 30 % of the time", true);
    assert!(page(&[run], None).unwrap().contains("\nimages/s\n"));
}

#[test]
fn examples_are_the_norms_of_the_models_on_the_images() {
    let device = Device::cpu();
    let teacher = Model::open("assets/demo-teacher.safetensors", &device).unwrap();
    let images = ImageSet::open("scenes:64").unwrap().with_scene_side(32);
    let settings = ClosedSettings::default().with(|s| s.images = 64);
    let found = singer::closed_form(&teacher, &images, &settings, &mut |_, _| {}).unwrap();
    let compared = Compared {
        teacher: &teacher,
        refiner: Some(Refiner::ClosedForm(found.adapters)),
        adapters: None,
        student: Some(&teacher),
        layers: vec![(3, Some(2)), (5, Some(5))],
    };
    let examples = Examples::measure(&compared, &images.sample(8)).unwrap();
    assert_eq!((examples.measured, examples.images.len(), examples.grid), (8, 4, [8, 8]));
    // Six blocks each of teacher, refined teacher and student.
    assert_eq!(examples.blocks.len(), 18);
    let ratio = |subject: Subject, block: usize| {
        let mut all = examples.blocks.iter();
        let of = all.find(|of| (of.subject, of.block) == (subject, block)).unwrap();
        of.norms.max_over_median
    };
    assert_eq!(ratio(Subject::Teacher, 2), ratio(Subject::Refined, 2), "before the artifacts");
    assert!(ratio(Subject::Teacher, 3) > 1.1 * ratio(Subject::Refined, 3));
    assert_eq!(ratio(Subject::Student, 5), ratio(Subject::Teacher, 5));
    for image in &examples.images {
        let subjects = image.maps.iter().map(|map| (map.subject, map.layer, map.block));
        let wanted = |layer, own| {
            [
                (Subject::Teacher, layer, layer),
                (Subject::Refined, layer, layer),
                (Subject::Student, layer, own),
            ]
        };
        assert_eq!(subjects.collect::<Vec<_>>(), [wanted(3, 2), wanted(5, 5)].concat());
        assert!(image.maps.iter().all(|map| map.norms.len() == 64));
    }
    for histogram in &examples.histograms {
        assert_eq!(histogram.counts.iter().sum::<usize>(), 8 * 64);
    }
    let [third, last] = &examples.moved[..] else { panic!("{:?}", examples.moved) };
    assert!(third.change > 0.0 && third.change < 0.2 && last.change < 0.2);
    let norms = examples.norms(&[3]);
    assert_eq!(norms[0].raw.max_over_median, ratio(Subject::Teacher, 3));
}
