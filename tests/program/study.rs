use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{fail_with, run, singer, succeed, tiny};

/// A study of two variants, two seeds and the teacher, at a few thousand
/// parameters; `more` is put at its end.
fn plan(folder: &Path, more: &str) -> std::path::PathBuf {
    let teacher = folder.join("teacher");
    if !teacher.exists() {
        succeed(
            singer()
                .args(["pretrain", "--model", "vit_tiny_patch16_224", "--data", "scenes:16"])
                .args(["--batch", "8", "--steps", "1", "--device", "cpu", "--out"])
                .arg(&teacher)
                .args(tiny("model")),
        );
    }
    let text = format!(
        r#"
out = {out:?}
title = "Tiny"
seeds = [0, 1]
devices = ["cpu"]

[base]
data.path = "scenes:16"
teacher.weights = {weights:?}
student = {{ arch = "vit_tiny_patch16_224", img_size = 16, patch_size = 4, embed_dim = 16, depth = 3, num_heads = 2 }}
singer = {{ layers = [1], rank = 4 }}
train = {{ batch = 8, steps = 2 }}

[[model]]
name = "teacher"
weights = {weights:?}

[[variant]]
name = "labels alone"
baseline = true
set = {{ method = "none" }}

[[variant]]
name = "SiNGER"
set = {{ method = "singer" }}

[[probe]]
name = "scenes"
run = ["classify", "--train", "scenes:24", "--test", "scenes:12", "--epochs", "2", "--no-cache"]
metric = [
    {{ name = "top-1 (%)", at = "/result/test/top1", times = 100 }},
    {{ name = "top-5 (%)", at = "/result/test/top5", times = 100 }},
    {{ name = "20-NN (%)", at = "/result/test/knn_top1", times = 100 }},
]
{more}
"#,
        out = folder.join("study"),
        weights = teacher.join("model.safetensors"),
    );
    let path = folder.join("study.toml");
    fs::write(&path, text).unwrap();
    path
}

fn results(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("study/results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_study_trains_measures_compares_and_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(folder.path(), "");
    let listed = succeed(singer().arg("study").arg(&file).arg("--list")).stdout;
    assert_eq!(listed.matches("open").count(), 5, "{listed}");
    let outcome = succeed(singer().arg("study").arg(&file));
    assert!(outcome.stdout.contains("| SiNGER |"), "{}", outcome.stdout);

    let found = results(folder.path());
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for (row, count) in rows.iter().zip([1, 2, 2]) {
        for cell in row["cells"].as_array().unwrap() {
            let values = cell["values"].as_array().unwrap();
            assert_eq!(values.len(), count, "{row}");
            let mean =
                values.iter().map(|value| value.as_f64().unwrap()).sum::<f64>() / count as f64;
            assert!((0.0..=100.0).contains(&mean));
            assert!((cell["summary"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
        }
    }
    let difference = &rows[2]["cells"][0]["test"]["difference"];
    let mean = |row: usize| rows[row]["cells"][0]["summary"]["mean"].as_f64().unwrap();
    assert!((difference.as_f64().unwrap() - (mean(2) - mean(1))).abs() < 1e-9);
    for name in ["results.md", "results.html", "radar.png"] {
        assert!(folder.path().join("study").join(name).metadata().unwrap().len() > 100, "{name}");
    }

    // What the teacher computed is gone with the last run; each run's time and its student's
    // norms are known.
    assert!(!folder.path().join("study/teacher-cache").exists());
    for row in &rows[1..] {
        let seconds = row["seconds"].as_array().unwrap();
        assert!(seconds.len() == 2 && seconds.iter().all(|s| s.as_f64().unwrap() > 0.0), "{row}");
        let norms = row["norms"].as_array().unwrap();
        assert!(norms.len() == 2 && norms.iter().all(|n| n.as_f64().unwrap() >= 1.0), "{row}");
    }

    let again = succeed(singer().arg("study").arg(&file));
    assert!(again.stdout.contains("5 of 5 jobs are done already"), "{}", again.stdout);
    assert_eq!(results(folder.path()), found);

    // Another probe is measured on the students that are there.
    let more = r#"
[[probe]]
name = "again"
run = ["classify", "--train", "scenes:24", "--test", "scenes:12", "--epochs", "1", "--no-cache", "--no-knn"]
metric = [{ name = "top-1", at = "/result/test/top1" }]
"#;
    let student = folder.path().join("study/runs/singer/seed-0/student.safetensors");
    let before = fs::metadata(&student).unwrap().modified().unwrap();
    succeed(singer().arg("study").arg(plan(folder.path(), more)));
    assert_eq!(fs::metadata(&student).unwrap().modified().unwrap(), before);
    assert_eq!(results(folder.path())["columns"].as_array().unwrap().len(), 4);
}

#[test]
fn students_of_a_study_are_the_same_with_and_without_what_other_runs_computed() {
    let students = |cached: &str| {
        let folder = tempfile::tempdir().unwrap();
        let more = "[[variant]]\nname = \"FitNet\"\nset = { method = \"fitnet\" }\n";
        let file = plan(folder.path(), more);
        change(&file, "seeds =", &format!("teacher_cache_gb = {cached}\nseeds ="));
        succeed(singer().arg("study").arg(&file));
        let runs = ["singer", "fitnet"].map(|name| folder.path().join("study/runs").join(name));
        runs.map(|run| fs::read(run.join("seed-1/student.safetensors")).unwrap())
    };
    let cached = students("1.0");
    assert!(cached == students("0") && cached[0] != cached[1]);
}

/// Changes the plan's text.
fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(file, text.replace(from, to)).unwrap();
}

/// The measured values of all rows.
fn measured(folder: &Path) -> Vec<Vec<Value>> {
    let results = results(folder);
    let rows = results["rows"].as_array().unwrap();
    let cells = |row: &Value| row["cells"].as_array().unwrap().clone();
    rows.iter().map(|row| cells(row).iter().map(|cell| cell["values"].clone()).collect()).collect()
}

#[test]
fn tasks_of_an_array_do_each_job_once_and_collecting_them_equals_one_study() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(folder.path(), "");
    let list = succeed(singer().arg("study").arg(&file).arg("--list")).stdout;
    assert!(list.contains("   1  open  teacher") && list.contains("   5  open  SiNGER, seed 1"));
    for wrong in ["0", "6"] {
        fail_with(singer().arg("study").arg(&file).args(["--job", wrong]), &["1 to 5"]);
    }
    // Two tasks for each job, all at once.
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let number = (task / 2 + 1).to_string();
            let mut command = singer();
            command.arg("study").arg(&file).args(["--job", &number]);
            std::thread::spawn(move || succeed(&mut command).stdout)
        })
        .collect();
    let said: Vec<String> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
    assert_eq!(said.iter().filter(|text| text.contains(": begins on")).count(), 5, "{said:?}");
    assert!(!folder.path().join("study/results.json").exists());
    let printed = succeed(singer().arg("study").arg(&file).args(["--collect", "--json"])).stdout;
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), results(folder.path()));
    let listed = succeed(singer().arg("study").arg(&file).args(["--list", "--json"])).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let jobs = listed.as_array().unwrap();
    assert!(jobs.len() == 5 && jobs.iter().all(|job| job["done"] == true), "{listed}");
    let page = fs::read_to_string(folder.path().join("study/results.html")).unwrap();
    assert!(page.contains("runs/singer/seed-0/report.html"), "runs' reports are linked");
    assert!(folder.path().join("study/runs/singer/seed-0/report.html").exists());
    let collected = measured(folder.path());
    let legend = || fs::read_to_string(folder.path().join("study/results.md")).unwrap();
    assert!(legend().contains("over 2 seeds."), "{}", legend());
    fs::remove_dir_all(folder.path().join("study/runs/singer/seed-1")).unwrap();
    succeed(singer().arg("study").arg(&file).arg("--collect"));
    assert!(legend().contains("over 1 to 2 of 2 seeds."), "{}", legend());

    fs::remove_dir_all(folder.path().join("study")).unwrap();
    let none = succeed(singer().arg("study").arg(&file).arg("--collect"));
    assert!(none.stderr.contains("5 of 5 jobs are not done yet"), "{}", none.stderr);
    // Two whole studies share the jobs.
    let halves: Vec<_> = (0..2)
        .map(|_| {
            let mut command = singer();
            command.arg("study").arg(&file);
            std::thread::spawn(move || succeed(&mut command).stdout)
        })
        .collect();
    let begun = |text: &String| text.matches(": begins on").count();
    let begun: usize = halves.into_iter().map(|half| begun(&half.join().unwrap())).sum();
    assert_eq!(begun, 5);
    succeed(singer().arg("study").arg(&file).arg("--collect"));
    assert_eq!(measured(folder.path()), collected);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_outlives_its_study_keeps_the_job_and_a_killed_one_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(folder.path(), "");
    change(&file, "steps = 2", "steps = 150");
    let mut command = singer();
    command.arg("study").arg(&file).args(["--job", "3"]).stdout(std::process::Stdio::null());
    let mut study = command.spawn().unwrap();
    let run_folder = folder.path().join("study/runs/singer/seed-0");
    while !run_folder.join("run.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let threads = fs::read_dir(format!("/proc/{}/task", study.id())).unwrap();
    let children = threads.map(|thread| thread.unwrap().path().join("children"));
    let child: String = children.map(|file| fs::read_to_string(file).unwrap()).collect();
    let signal = |signal: &str| {
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([signal, child.trim()]).status().unwrap().success());
    };
    signal("-STOP"); // Lest it end before the next command looks.
    study.kill().unwrap();
    study.wait().unwrap();
    let again = succeed(singer().arg("study").arg(&file).args(["--job", "3"]));
    assert!(again.stdout.contains("another process is doing it"), "{}", again.stdout);

    signal("-KILL");
    fs::File::open(run_folder.join("lock")).unwrap().lock().unwrap(); // Once it is gone.
    let text = fs::read_to_string(run_folder.join("study.toml")).unwrap();
    assert!(text.contains("steps = 150"));
    let resumed = succeed(singer().arg("study").arg(&file).args(["--job", "3"]));
    assert!(resumed.stdout.contains("SiNGER, seed 0: done"), "{}", resumed.stdout);
    assert!(run_folder.join("scenes.json").exists());
}

#[test]
fn a_failed_job_does_not_stop_the_others_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        plan(folder.path(), "[[variant]]\nname = \"too deep\"\nset = { singer.layers = [99] }\n");
    let outcome = run(singer().arg("study").arg(&file));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("too deep, seed 0") && outcome.stderr.contains("99"));
    assert!(outcome.stderr.contains("2 of 7 jobs failed"), "{}", outcome.stderr);
    let rows = results(folder.path());
    assert!(rows["rows"][3]["cells"][0]["summary"].is_null());
    assert!(rows["rows"][2]["cells"][0]["summary"]["mean"].is_number());
}

#[test]
fn a_metric_that_the_probe_does_not_have_is_named_beside_those_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(folder.path(), "");
    change(&file, "/result/test/top5", "/result/top5");
    let outcome = run(singer().arg("study").arg(&file));
    assert_eq!(outcome.code, Some(1));
    let wanted = "no number at \"/result/top5\"; there are";
    assert!(outcome.stderr.contains(wanted), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("/result/test/top5"), "{}", outcome.stderr);
}

#[test]
fn results_of_other_settings_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(folder.path(), "");
    succeed(singer().arg("study").arg(&file));
    change(&file, "rank = 4", "rank = 5");
    fail_with(singer().arg("study").arg(&file), &["other settings", "remove the folder"]);
}

#[test]
fn a_plan_that_cannot_be_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(plan(folder.path(), "")).unwrap();
    let file = folder.path().join("wrong.toml");
    for (from, to, part) in [
        ("seeds = [0, 1]", "seeds = [1, 1]", "listed twice"),
        ("seeds = [0, 1]", "seeds = []", "must not be empty"),
        ("name = \"SiNGER\"", "name = \"Labels Alone\"", "unlike the others'"),
        ("devices = [\"cpu\"]", "devices = [\"cpu\"]\nteacher_cache_gb = -1", "must be 0 or more"),
        ("baseline = true", "basline = true", "did you mean `baseline`"),
        ("run = [\"classify\"", "rum = [\"classify\"", "did you mean `run`"),
    ] {
        fs::write(&file, text.replace(from, to)).unwrap();
        fail_with(singer().arg("study").arg(&file), &["wrong.toml", part]);
    }
    assert!(!folder.path().join("study").exists());
}
