use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{distill, fail_with, singer, succeed, teacher};

/// The JSON of a file.
fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_watched_report_follows_a_training_to_its_end() {
    let (folder, teacher) = teacher();
    let run = folder.path().join("run");
    let mut training = distill(&teacher, &run, 12).spawn().unwrap();
    let began = Instant::now();
    while !run.join("metrics.jsonl").exists() || !run.join("run.json").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "the training does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let outcome = succeed(singer().arg("report").arg(&run).arg("--watch"));
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(training.wait().unwrap().success());
    assert!(outcome.stdout.contains("report.html"), "{}", outcome.stdout);
    assert!(page.contains("Finished: 12 steps") && !page.contains("refresh"), "{page}");
}

#[test]
fn a_report_of_no_run_or_into_a_folder_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fail_with(singer().arg("report").arg(folder.path()), &["no run's folder", "run.json"]);
    let mut command = singer();
    command.arg("report").arg(folder.path()).arg("--out").arg(folder.path());
    fail_with(&mut command, &["--out a file"]);
}

#[test]
fn a_report_has_maps_of_the_runs_own_images_and_photographs_only_where_asked() {
    let (folder, teacher) = teacher();
    let run = folder.path().join("run");
    succeed(distill(&teacher, &run, 4).args(["--refine", "closed"]));
    let page = || fs::read_to_string(run.join("report.html")).unwrap();
    let examples = json(&run.join("examples.json"));
    let images = examples["images"].as_array().unwrap();
    let maps = images.iter().map(|image| image["maps"].as_array().unwrap().len()).sum::<usize>();
    assert!(!images.is_empty() && maps > images.len());
    assert_eq!(page().matches("data:image/png").count(), maps);
    assert!(page().contains("Norms by block") && !page().contains("data:image/jpeg"));

    // A run from before there were maps gets them together with the photographs.
    fs::remove_file(run.join("examples.json")).unwrap();
    succeed(singer().arg("report").arg(&run).arg("--photos"));
    assert_eq!(json(&run.join("examples.json")), examples);
    assert_eq!(page().matches("data:image/jpeg").count(), images.len());

    let outcome = succeed(singer().arg("report").arg(&run).arg("--json"));
    let described: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(described[0]["finished"], true);
    assert_eq!(described[0]["last"]["step"], 4);
    assert!(described[0]["verdicts"][0]["text"].as_str().unwrap().starts_with("Finished: 4 steps"));
}

#[test]
fn a_fit_writes_its_report_beside_the_adapters_and_says_the_same_as_json() {
    let (folder, teacher) = teacher();
    for (kind, flags) in [("closed", vec![]), ("trained", vec!["--steps", "3", "--rank", "4"])] {
        let out = folder.path().join(format!("{kind}.safetensors"));
        let mut command = singer();
        command.arg("fit").arg(&teacher).args(["--data", "scenes:16", "--device", "cpu", "--json"]);
        command.args(["--kind", kind, "--track", "tensorboard"]).args(flags).arg("--out").arg(&out);
        let outcome = succeed(&mut command);
        let described: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(described["last"].is_null(), kind == "closed", "{described}");
        assert_eq!(described["found"].is_null(), kind == "trained", "{described}");
        let layers = described["layers"].as_array().unwrap().len();
        assert_eq!(described["norms"].as_array().unwrap().len(), layers);
        let page = fs::read_to_string(out.with_extension("html")).unwrap();
        assert!(page.contains("Maps of patch norms") && page.contains("data:image/png"));
        assert_eq!(page.contains("\noutlier\n"), kind == "trained", "a curve of what is trained");
        assert_eq!(fs::read_dir(out.with_extension("events")).unwrap().count(), 1);
    }
}

#[test]
fn a_tracker_that_cannot_work_is_refused_before_and_one_that_is_away_ends_no_training() {
    let (folder, teacher) = teacher();
    let run = folder.path().join("run");
    let tracked = |uri: &str| {
        let mut command = distill(&teacher, &run, 4);
        command.args(["--track", "mlflow"]).env("MLFLOW_TRACKING_URI", uri);
        command
    };
    for uri in ["", "file:///tmp/mlruns"] {
        fail_with(&mut tracked(uri), &["MLFLOW_TRACKING_URI", "http://HOST:PORT"]);
        assert!(!run.exists());
    }
    // Port 9 discards, and nothing listens there.
    let outcome = succeed(&mut tracked("http://127.0.0.1:9"));
    assert_eq!(outcome.stderr.matches("warning: MLflow").count(), 1, "{}", outcome.stderr);
    assert!(run.join("student.safetensors").exists());
    let mut command = distill(&teacher, &run, 4);
    let outcome = command.args(["--track", "comet"]).output().unwrap();
    assert_eq!(outcome.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&outcome.stderr).contains("expected `tensorboard` or `mlflow`")
    );
}
