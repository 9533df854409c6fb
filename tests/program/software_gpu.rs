//! The program on software Vulkan.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{fail_with, singer, succeed};

fn numbers(value: &Value, found: &mut Vec<f64>) {
    match value {
        Value::Number(number) => found.push(number.as_f64().unwrap()),
        Value::Array(values) => values.iter().for_each(|value| numbers(value, found)),
        Value::Object(values) => values.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

#[test]
fn an_inspection_gives_the_same_numbers_by_the_shaders_as_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = Path::new("assets/demo-teacher.safetensors");
    let found = ["cpu", "software"].map(|device| {
        let out = folder.path().join(device);
        succeed(
            singer()
                .args(["inspect", "scenes:5000-5004", "--layers", "3,5", "--rank", "16"])
                .args(["--inject", "--training-free", "--device", device, "--out"])
                .arg(&out)
                .arg("--teacher")
                .arg(teacher),
        );
        let text = fs::read_to_string(out.join("inspect.json")).unwrap();
        let mut found = Vec::new();
        numbers(&serde_json::from_str(&text).unwrap(), &mut found);
        assert!(out.join("report.html").exists());
        found
    });
    let [cpu, gpu] = found;
    assert!(cpu.len() > 1000 && cpu.len() == gpu.len(), "{} and {}", cpu.len(), gpu.len());
    for (cpu, gpu) in cpu.iter().zip(&gpu) {
        assert!(
            (cpu - gpu).abs() <= 1e-4 * cpu.abs().max(1.0),
            "{cpu} on the CPU, {gpu} by shader"
        );
    }
}

#[test]
fn what_does_not_fit_the_device_is_one_line_and_no_panic() {
    let mut command = singer();
    command.args(["bench", "--teacher", "vit_tiny_patch16_224", "--runs", "1"]);
    command.args(["--batch", "256", "--device", "software"]);
    fail_with(&mut command, &["the GPU failed", "can't allocate", "--device cpu"]);
}

#[test]
fn the_shader_benchmark_measures_the_kernels_of_maps_and_of_a_block() {
    let mut command = singer();
    command.args(["bench-shaders", "--device", "software", "--images", "1", "--tokens", "20"]);
    command.args(["--dim", "32", "--rank", "8", "--runs", "1", "--repeats", "1"]);
    let report: Value = serde_json::from_str(&succeed(&mut command).stdout).unwrap();
    let rows = report["shaders"].as_array().unwrap();
    let files = [
        "patch_norm",
        "norm_quantile",
        "low_rank_refine",
        "gated_refine",
        "cosine_map",
        "gram",
        "colormap",
        "layer_norm",
        "linear",
        "attention",
    ];
    for file in files {
        let row = rows.iter().find(|row| row["name"].as_str().unwrap().starts_with(file));
        let row = row.unwrap_or_else(|| panic!("no row for {file}"));
        for key in ["median_s", "mib_moved", "gb_per_s", "share_of_copy"] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{file}: {key} is {}", row[key]);
        }
    }
    assert!(report["refine_against_burn"]["burn_over_shader"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_shader_benchmark_needs_a_gpu() {
    let mut command = singer();
    command.args(["bench-shaders", "--device", "cpu"]);
    fail_with(&mut command, &["the shaders need a GPU", "--device software"]);
}
