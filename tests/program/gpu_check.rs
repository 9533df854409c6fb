//! `benches/gpu.sh` on software Vulkan.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Outcome, run};

/// The script's outcome with its `results.json` and `results.md`.
fn check(out: &Path, arguments: &[&str]) -> (Outcome, Value, String) {
    let mut command = Command::new("bash");
    command
        .args(["benches/gpu.sh", "--small", "--binary", env!("CARGO_BIN_EXE_singer")])
        .args(arguments)
        .arg("--out")
        .arg(out)
        .env("SINGER_PYTHON", "no-python");
    let outcome = run(&mut command);
    let text = |name: &str| {
        std::fs::read_to_string(out.join(name))
            .unwrap_or_else(|e| panic!("{e}: {}", outcome.stderr))
    };
    let (results, table) = (text("results.json"), text("results.md"));
    (outcome, serde_json::from_str(&results).unwrap(), table)
}

fn part<'a>(report: &'a Value, name: &str) -> &'a Value {
    let parts = report["parts"].as_array().unwrap();
    parts
        .iter()
        .find(|part| part["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn the_gpu_check_writes_what_each_part_measured_as_json_and_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, report, table) =
        check(folder.path(), &["--parts", "devices,step-tiny-auto,shaders"]);
    assert_eq!(outcome.code, Some(0), "{}\n{report:#}", outcome.stdout);
    let names = ["devices", "step-tiny-auto", "shaders"];
    for name in names {
        assert_eq!(part(&report, name)["status"], "ok");
        assert!(table.contains(&format!("| {name} | ok |")), "{table}");
    }
    assert_eq!(report["parts"].as_array().unwrap().len(), names.len());
    let choices = part(&report, "devices")["result"].as_array().unwrap();
    assert!(choices.iter().any(|device| device["choice"] == "software"));
    let step = &part(&report, "step-tiny-auto")["result"];
    for kind in ["step", "teacher_forward"] {
        assert!(step[kind]["images_per_second"].as_f64().unwrap() > 0.0, "{step}");
    }
    assert!(part(&report, "shaders")["result"]["copy_gb_per_s"].as_f64().unwrap() > 0.0);
    assert!(table.contains("patch_norm"), "{table}");
}

#[test]
fn the_gpu_check_keeps_its_results_where_a_part_fails_or_time_ends() {
    let folder = tempfile::tempdir().unwrap();
    let absent = ["--device", "gpu:9", "--parts", "devices,shaders"];
    let (outcome, report, table) = check(folder.path(), &absent);
    assert_eq!(outcome.code, Some(1), "{report:#}");
    assert_eq!(part(&report, "devices")["status"], "ok");
    let shaders = part(&report, "shaders");
    assert_eq!((&shaders["status"], &shaders["result"]), (&"failed".into(), &Value::Null));
    let message = shaders["message"].as_str().unwrap();
    assert!(message.contains("there is no such GPU") && table.contains(message), "{table}");

    let (outcome, report, _) = check(folder.path(), &["--time", "1"]);
    assert_eq!(outcome.code, Some(0), "{report:#}");
    for part in report["parts"].as_array().unwrap() {
        assert_eq!(part["status"], "no time left");
    }
}
