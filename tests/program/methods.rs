use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use burn::tensor::TensorData;
use singer::weights::NamedTensors;

use crate::support::{
    METHODS, by, die_after_a_step, distill, fail_with, metrics, singer, succeed, teacher,
};

fn command(teacher: &Path, out: &Path, method: &str) -> Command {
    let mut command = by(distill(teacher, out, 3), method);
    command.args(["--set", "train.log_every=1"]);
    command.args(["--set", "train.checkpoint_every=1"]);
    command
}

/// Every tensor of a run's files: student, checkpoint and what else was trained.
fn trained(out: &Path) -> Vec<BTreeMap<String, TensorData>> {
    let names = ["student.safetensors", "checkpoint.safetensors", "singer.safetensors"];
    let files = names.map(|name| out.join(name)).into_iter().filter(|file| file.exists());
    files.map(|file| NamedTensors::read(&file).unwrap().tensors).collect()
}

fn run_file(out: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap()
}

#[test]
fn every_method_trains_writes_its_files_and_resumes_to_the_same_bits() {
    let (folder, teacher) = teacher();
    for method in METHODS {
        let whole = folder.path().join(format!("{method}-whole"));
        succeed(command(&teacher, &whole, method).args(["--val", "scenes:100-140"]));
        let terms: &[&str] = match method {
            "singer/published" => &["kd", "outlier", "info"],
            "singer/trained" => &["kd", "outlier", "info", "identity"],
            "singer" | "fitnet" | "fitnet/closed" | "cosine" | "normalised" => &["features"],
            "relational" => &["images", "patches"],
            "proteus" => &["token", "feature", "patch"],
            "kd" => &["kd"],
            "none" => &["labels"],
            _ => &["generation", "mimicry"],
        };
        let records = metrics(&whole);
        assert_eq!(records.len(), 3, "{method}");
        for record in &records {
            let sum: f64 = terms.iter().map(|term| record[term].as_f64().unwrap()).sum();
            let loss = record["loss"].as_f64().unwrap();
            assert!((sum - loss).abs() <= 1e-4 * loss.abs(), "{method}: {record}");
        }
        let run = run_file(&whole);
        assert_eq!(run["config"]["method"], method.split('/').next().unwrap());
        assert!(run["finished"].is_number() && run["result"]["student_norms"].is_object());
        let with_head = matches!(method, "kd" | "none");
        assert_eq!(run["result"]["val_accuracy"].is_number(), with_head, "{method}");
        assert_eq!(whole.join("singer.safetensors").exists(), !with_head, "{method}");
        let student = NamedTensors::read(&whole.join("student.safetensors")).unwrap();
        assert_eq!(student.tensors.contains_key("head.weight"), with_head, "{method}");

        // A process that dies after a step leaves that step's checkpoint.
        let broken = folder.path().join(format!("{method}-broken"));
        die_after_a_step(&mut command(&teacher, &broken, method), &broken);
        let mut on = command(&teacher, &broken, method);
        succeed(on.args(["--val", "scenes:100-140", "--resume"]));
        assert!(trained(&whole) == trained(&broken), "{method} differs after resuming");
        let losses = |out: &Path| -> Vec<f64> {
            metrics(out).iter().map(|record| record["loss"].as_f64().unwrap()).collect()
        };
        assert_eq!(losses(&whole), losses(&broken), "{method}");
    }
}

#[test]
fn every_method_starts_from_the_same_student_and_stops_at_a_loss_that_is_not_finite() {
    let (folder, teacher) = teacher();
    let constant = ["--set", "schedule.name=constant"];
    let mut starts = Vec::new();
    for method in METHODS {
        let out = folder.path().join(format!("{method}-still"));
        succeed(command(&teacher, &out, method).args(constant).args(["--lr", "0"]));
        let mut student = NamedTensors::read(&out.join("student.safetensors")).unwrap().tensors;
        student.retain(|name, _| !name.starts_with("head."));
        starts.push(student);

        let out = folder.path().join(format!("{method}-wild"));
        let mut wild = by(distill(&teacher, &out, 30), method);
        wild.args(["--set", "train.checkpoint_every=1"]);
        wild.args(constant).args(["--lr", "1e30"]);
        fail_with(&mut wild, &["step ", "loss is", "earlier checkpoint"]);
        assert!(out.join("checkpoint.safetensors").exists(), "{method}");
    }
    assert!(starts.iter().all(|start| start == &starts[0]));
}

#[test]
fn labels_can_be_added_to_any_method_and_give_the_student_a_head() {
    let (folder, teacher) = teacher();
    for method in METHODS.into_iter().filter(|&method| method != "none") {
        let out = folder.path().join(method);
        let mut with_labels = command(&teacher, &out, method);
        succeed(with_labels.args(["--label-weight", "0.5", "--val", "scenes:100-140"]));
        assert!(metrics(&out)[2]["labels"].as_f64().unwrap() > 0.0, "{method}");
        let student = NamedTensors::read(&out.join("student.safetensors")).unwrap();
        assert_eq!(student.tensors["head.weight"].shape().to_vec(), [8, 8], "{method}");
        assert!(run_file(&out)["result"]["val_accuracy"].is_number(), "{method}");
    }
}

#[test]
fn labels_alone_need_no_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = singer();
    command.args(["distill", "--method", "none", "--student", "vit_tiny_patch16_224"]);
    command.args(["--data", "scenes:32", "--batch", "8", "--steps", "2", "--device", "cpu"]);
    command.args(crate::support::tiny("student")).arg("--out").arg(&out);
    succeed(&mut command);
    assert_eq!(metrics(&out).len(), 2);
}

#[test]
fn a_run_starts_where_the_adapters_of_another_ended() {
    let (folder, teacher) = teacher();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    succeed(&mut command(&teacher, &first, "singer/published"));
    let adapters = first.join("singer.safetensors");
    let mut onwards = command(&teacher, &second, "singer");
    // Its rank is the file's, whatever the setting says.
    succeed(onwards.arg("--adapters").arg(&adapters).args(["--rank", "3"]));
    let (before, after) = (run_file(&first), run_file(&second));
    let (ended, began) = (&before["result"]["norms"], &after["result"]["norms_at_start"]);
    assert!(ended.as_array().is_some_and(|layers| !layers.is_empty()));
    assert_eq!(ended, began);
    assert_ne!(ended, &after["result"]["norms"], "they are trained on");
    assert_eq!(after["basis"], serde_json::json!([]), "no basis was computed");

    let refused = folder.path().join("refused");
    let mut other = command(&teacher, &refused, "fitnet");
    fail_with(other.arg("--adapters").arg(&adapters), &["adapters are SiNGER's", "method"]);
    let mut layers = command(&teacher, &refused, "singer");
    layers.arg("--adapters").arg(&adapters).args(["--layers", "0"]);
    fail_with(&mut layers, &["singer.safetensors", "none for block 0"]);
    let mut missing = command(&teacher, &refused, "singer");
    fail_with(missing.args(["--adapters", "nowhere.safetensors"]), &["nowhere.safetensors"]);
}

#[test]
fn adapters_are_fitted_without_a_student_and_lower_the_outliers() {
    let (folder, teacher) = teacher();
    let file = folder.path().join("fitted.safetensors");
    let fit = |out: &Path, steps: &str| {
        let mut fit = singer();
        fit.arg("fit").arg(&teacher).args(["--data", "scenes:64", "--layers", "1", "--rank", "4"]);
        fit.args([
            "--kind",
            "published",
            "--quantile",
            "0.8",
            "--outlier-weight",
            "1",
            "--device",
            "cpu",
        ]);
        fit.args(["--steps", steps, "--out"]).arg(out);
        fit
    };
    let loss = |said: &str| -> f64 {
        let (_, rest) = said.split_once("outlier loss ").expect("it says the loss");
        rest.split(',').next().unwrap().parse().unwrap()
    };
    let first = loss(&succeed(&mut fit(&file, "1")).stdout);
    let said = succeed(&mut fit(&file, "60")).stdout;
    assert!(loss(&said) < first, "from {first}: {said}");
    assert!(said.contains("block 1: largest") && said.contains("block 2: largest"), "{said}");
    let run = folder.path().join("run");
    succeed(command(&teacher, &run, "singer").arg("--adapters").arg(&file));
    let bad = folder.path().join("bad.safetensors");
    fail_with(&mut fit(&bad, "0"), &["--steps must be at least 1"]);
    fail_with(&mut fit(&teacher.join("in-a-file"), "1"), &[&teacher.display().to_string()]);
    fail_with(fit(&bad, "1").args(["--basis", "largest"]), &["largest", "use smallest"]);
    fail_with(fit(&bad, "1").args(["--layers", "9"]), &["layer 9", "0 to 2"]);
    assert!(!bad.exists());
}

#[test]
fn methods_and_settings_that_cannot_work_are_refused_with_the_fix() {
    let (folder, teacher) = teacher();
    let headless = folder.path().join("student");
    succeed(&mut distill(&teacher, &headless, 2));
    let headless = headless.join("student.safetensors");
    let out = folder.path().join("run");
    let cases: [(&Path, &str, &[&str], &[&str]); 16] = [
        (&teacher, "fitnets", &[], &["did you mean `fitnet`"]),
        (&headless, "kd", &[], &["the teacher has no head", "lost", "singer, fitnet, cosine"]),
        (
            &teacher,
            "kd",
            &["--set", "kd.temperature=0"],
            &["temperature is 0", "above 0", "kd.temperature"],
        ),
        (&teacher, "kd", &["--set", "student.num_classes=3"], &["8 classes", "num_classes to 8"]),
        (&teacher, "fitnet", &["--set", "fitnet.weight=-1"], &["fitnet.weight is -1"]),
        (&teacher, "cosine", &["--set", "cosine.weight=-1"], &["cosine.weight is -1"]),
        (&teacher, "normalised", &["--layers", "7"], &["layer 7", "0 to 2"]),
        (
            &teacher,
            "relational",
            &["--set", "relational.queue=0"],
            &["relational.queue is 0", "1 or more"],
        ),
        (
            &teacher,
            "relational",
            &["--set", "relational.temperature=0"],
            &["relational.temperature is 0", "above 0"],
        ),
        (
            &teacher,
            "proteus",
            &["--set", "proteus.mask_ratio=2"],
            &["proteus.mask_ratio is 2", "0 to 1"],
        ),
        (&teacher, "fitnet", &["--layers", "7"], &["layer 7", "0 to 2"]),
        (
            &teacher,
            "vitkd",
            &["--set", "vitkd.mask_ratio=0"],
            &["mask_ratio is 0", "vitkd.mask_ratio"],
        ),
        (&teacher, "vitkd", &["--set", "vitkd.mimic_layers=[5]"], &["mimic_layers", "layer 5"]),
        (&teacher, "vitkd", &["--set", "vitkd.mimic_layers=[1,1]"], &["layer 1 twice"]),
        (&teacher, "singer", &["--label-weight=-1"], &["label_weight is -1"]),
        (&teacher, "none", &["--label-weight", "1"], &["labels alone", "leave it out"]),
    ];
    for (teacher, method, args, parts) in cases {
        fail_with(command(teacher, &out, method).args(args), parts);
        assert!(!out.exists(), "{method} {args:?} left something behind");
    }
    let done = folder.path().join("done");
    succeed(&mut command(&teacher, &done, "fitnet"));
    let mut other = command(&teacher, &done, "vitkd");
    fail_with(other.arg("--resume"), &["method was \"fitnet\", now \"vitkd\""]);
}

#[test]
fn inspect_reads_a_baselines_run() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(&mut command(&teacher, &out, "fitnet"));
    let report = folder.path().join("report");
    succeed(
        singer()
            .args(["inspect", "scenes:2", "--device", "cpu", "--run"])
            .arg(&out)
            .arg("--out")
            .arg(&report),
    );
    let findings = fs::read_to_string(report.join("inspect.json")).unwrap();
    assert!(findings.contains("\"student\"") && !findings.contains("\"refined teacher\""));
}
