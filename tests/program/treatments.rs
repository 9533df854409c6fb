//! Other people's treatments of artifacts, and the basis that data chooses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{die_after_a_step, distill, fail_with, singer, succeed, teacher};

/// 32 px, patches of 4 px, 128 wide, 6 blocks, artifacts from block 3 on.
fn demo_teacher() -> PathBuf {
    PathBuf::from("assets/demo-teacher.safetensors")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn refined(teacher: &Path, out: &Path, method: &str, kind: &str) -> Command {
    let mut command = distill(teacher, out, 2);
    command.args(["--method", method, "--refine", kind, "--set", "train.checkpoint_every=1"]);
    command.args(["--set", "train.log_every=1", "--set", "registers.neurons=1"]);
    command.args(["--set", "closed.images=32", "--set", "train.measure=32"]);
    command
}

#[test]
fn every_treatment_goes_with_every_kind_of_method_and_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("neighbours", "kd", "mean of their neighbours"),
        ("registers", "fitnet", "hidden units of blocks [3] act on a test-time register"),
        ("averaged", "singer", "averaged over moved views"),
    ];
    for (kind, method, said) in cases {
        let whole = folder.path().join(kind);
        let outcome = succeed(&mut refined(&demo_teacher(), &whole, method, kind));
        assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
        let run = json(&whole.join("run.json"));
        assert_eq!(run["config"]["refine"], kind);

        let stopped = folder.path().join(format!("{kind}-stopped"));
        let again = || refined(&demo_teacher(), &stopped, method, kind);
        die_after_a_step(&mut again(), &stopped);
        succeed(again().arg("--resume"));
        let bytes = |out: &Path| fs::read(out.join("student.safetensors")).unwrap();
        assert!(bytes(&whole) == bytes(&stopped), "{kind} resumes to other weights");
        let mut other = refined(&demo_teacher(), &stopped, method, "none");
        fail_with(other.arg("--resume"), &["choose another --out"]);
    }
}

#[test]
fn a_teacher_without_outliers_has_no_register_neurons() {
    let (folder, teacher) = teacher();
    let mut command = refined(&teacher, &folder.path().join("run"), "fitnet", "registers");
    let outcome = succeed(command.args(["--set", "registers.factor=50"]));
    assert!(outcome.stdout.contains("no outliers found"), "{}", outcome.stdout);
}

#[test]
fn inspect_shows_every_treatment_beside_the_raw_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let inspect = || {
        let mut command = singer();
        command.args(["inspect", "scenes:5000-5016", "--device", "cpu", "--layers", "3,5"]);
        command.args(["--inject", "--teacher"]).arg(demo_teacher()).arg("--out").arg(&out);
        command
    };
    let outcome = succeed(inspect().args(["--refine", "closed,neighbours,registers,averaged"]));
    assert!(outcome.stdout.contains("The closed form refines blocks [3]"), "{}", outcome.stdout);
    let found = json(&out.join("inspect.json"));
    let spread = |found: &Value, subject: &str| {
        let series = found["depth"].as_array().unwrap();
        let series = series.iter().find(|series| series["subject"] == subject);
        let rows = series.unwrap_or_else(|| panic!("no {subject}"))["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["layer"] == 5).unwrap();
        let quantile = |at: usize| row["quantiles"][at].as_f64().unwrap();
        quantile(7) / quantile(3)
    };
    let raw = spread(&found, "teacher");
    for subject in ["closed form", "neighbours", "test-time registers"] {
        let treated = spread(&found, subject);
        assert!(treated < 0.75 * raw, "{subject}: {treated} of {raw}");
    }
    // Those that do not move with the content average out, and these do: they mark smooth patches.
    assert!((spread(&found, "averaged views") / raw - 1.0).abs() < 0.5);
    let methods: Vec<&str> = found["injections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|injection| injection["method"].as_str().unwrap())
        .collect();
    let each = ["closed form", "neighbours", "test-time registers", "averaged views"];
    assert_eq!(methods[..4], each);

    // A file of `singer fit` is shown as it is.
    let file = folder.path().join("closed.safetensors");
    let mut fit = singer();
    fit.args(["fit", "--data", "scenes:64", "--device", "cpu", "--out"]).arg(&file);
    succeed(fit.arg(demo_teacher()));
    succeed(inspect().arg("--adapters").arg(&file));
    let found = json(&out.join("inspect.json"));
    assert!(spread(&found, "refined teacher") < 0.75 * raw);
    fail_with(inspect().args(["--refine", "trained"]), &["--refine trained: use closed"]);
    let mut student = singer();
    student.args(["inspect", "scenes:2", "--device", "cpu"]).arg("--out").arg(&out);
    let (_folder, other) = teacher();
    student.arg("--teacher").arg(other).arg("--adapters").arg(&file);
    fail_with(&mut student, &["closed.safetensors"]);
}

#[test]
fn the_basis_of_data_drifts_less_than_that_of_the_weights_for_small_steps() {
    let nullspace = |more: &[&str]| {
        let mut command = singer();
        command.arg("nullspace").arg(demo_teacher()).args(["--rank", "16", "--layers", "4"]);
        command.args(["--device", "cpu", "--data", "scenes:64", "--json"]).args(more);
        serde_json::from_str::<Value>(&succeed(&mut command).stdout).unwrap()
    };
    let drift = |report: &Value, at: usize, of: &str| report[0]["drift"][at][of].as_f64().unwrap();
    let [data, smallest, random] =
        ["data", "smallest", "random"].map(|kind| nullspace(&["--basis", kind]));
    for of in ["touched", "others"] {
        assert!(drift(&data, 0, of) < 0.5 * drift(&smallest, 0, of), "{of}");
        assert!(drift(&smallest, 0, of) < drift(&random, 0, of), "{of}");
    }
    // An artifact of six median norms moves the block whatever the basis.
    assert!(drift(&data, 2, "touched") > 0.3);
    let mut lacking = singer();
    lacking.arg("nullspace").arg(demo_teacher()).args(["--basis", "data"]);
    fail_with(&mut lacking, &["--basis data: give images with --data"]);
    fail_with(lacking.args(["--data", "scenes:2", "--sizes", "0"]), &["--sizes 0"]);
}

#[test]
fn adapters_start_in_the_basis_of_data_for_fit_and_distill() {
    let (folder, teacher) = teacher();
    let file = folder.path().join("fitted.safetensors");
    let mut fit = singer();
    fit.args(["fit", "--kind", "published", "--basis", "data", "--data", "scenes:32"]);
    fit.args(["--rank", "4", "--steps", "2", "--device", "cpu", "--out"]).arg(&file);
    succeed(fit.arg(&teacher));
    assert!(file.exists());
    let mut command = refined(&teacher, &folder.path().join("run"), "singer", "published");
    let outcome = succeed(command.args(["--basis", "data"]));
    assert!(outcome.stdout.contains("basis of block 2, residual"), "{}", outcome.stdout);
    let run = json(&folder.path().join("run/run.json"));
    assert_eq!(run["config"]["singer"]["basis"], "data");

    let out = folder.path().join("recovery");
    let recover = |basis: &str| {
        let mut command = singer();
        command.arg("recover").arg(&teacher).args(["--data", "scenes:32", "--rank", "4"]);
        command.args(["--block", "1", "--strengths", "8", "--placements", "inside"]);
        command.args(["--share", "0.06", "--treatments", "raw,training-free", "--basis", basis]);
        command.args(["--device", "cpu", "--out"]).arg(&out);
        command
    };
    let errors = |basis: &str| -> Vec<f64> {
        succeed(&mut recover(basis));
        let found = json(&out.join("recovery.json"));
        assert_eq!(found["settings"]["basis"], basis);
        let cases = found["cases"].as_array().unwrap();
        let all = cases.last().unwrap()["recoveries"].as_array().unwrap();
        let own = all.iter().filter(|one| one["treatment"] == "training-free");
        own.map(|one| one["artifacts"]["distance"].as_f64().unwrap()).collect()
    };
    // Artifacts are planted along the weights' basis, so the basis of data misses them.
    let [smallest, data] = ["smallest", "data"].map(errors);
    assert!(smallest[0] < 0.7 * data[0], "{smallest:?} {data:?}");
    fail_with(&mut recover("threshold"), &["--basis threshold: use smallest, random or data"]);
}

#[test]
fn treatments_that_do_not_fit_what_is_given_are_refused_in_one_line() {
    let (folder, teacher) = teacher();
    let file = folder.path().join("closed.safetensors");
    let mut fit = singer();
    fit.args(["fit", "--data", "scenes:16", "--device", "cpu", "--out"]).arg(&file);
    succeed(fit.arg(demo_teacher()));
    let out = folder.path().join("run");
    let mut given = refined(&teacher, &out, "fitnet", "registers");
    fail_with(given.arg("--adapters").arg(&file), &["closed.safetensors", "has none"]);
    let mut shift = refined(&teacher, &out, "fitnet", "averaged");
    fail_with(shift.args(["--set", "averaged.shift=1"]), &["averaged.shift is 1", "set averaged"]);
    let mut views = refined(&teacher, &out, "fitnet", "averaged");
    fail_with(views.args(["--set", "averaged.views=0"]), &["averaged.views is 0"]);
    let mut factor = refined(&teacher, &out, "fitnet", "registers");
    fail_with(factor.args(["--set", "registers.factor=1"]), &["registers.factor is 1"]);
}
