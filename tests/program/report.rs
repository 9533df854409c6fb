use std::fs;
use std::time::{Duration, Instant};

use crate::support::{distill, fail_with, singer, succeed, teacher};

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
