use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{Device, TensorData};
use serde_json::Value;
use singer::vit::{VitConfig, init_weights};
use singer::weights::{WeightsFile, save};

use crate::support::{fail_with, singer, succeed};

/// A small model's file, with these classes.
fn model(path: &Path, classes: usize) -> VitConfig {
    let config = VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        embed_dim: 16,
        depth: 2,
        num_heads: 2,
        num_classes: classes,
        ..VitConfig::default()
    };
    let vit = init_weights(config.build(&Device::flex()).unwrap(), 3);
    save(&vit, "small", &config, path).unwrap();
    config
}

fn distill(teacher: &Path, out: &Path) -> Command {
    let mut line = singer();
    line.args(["distill", "--data", "scenes:16", "--batch", "8", "--steps", "1"]);
    line.args(["--layers", "0", "--rank", "4", "--device", "cpu"]);
    line.arg("--teacher").arg(teacher).arg("--out").arg(out);
    line
}

#[test]
fn a_weight_beyond_half_precision_ends_an_f16_run_before_its_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("teacher.safetensors");
    let config = model(&file, 0);
    let mut vit = singer::weights::load(&file, "small", &config, &Device::flex()).unwrap();
    let weight = vit.blocks[1].mlp.fc1.weight.val();
    let [rows, columns] = weight.dims();
    let mut values: Vec<f32> = weight.clone().into_data().try_into_vec().unwrap();
    values[5] = 7e4;
    let data = TensorData::new(values, [rows, columns]);
    vit.blocks[1].mlp.fc1.weight =
        burn::module::Param::from_tensor(burn::tensor::Tensor::from_data(data, &Device::flex()));
    save(&vit, "small", &config, &file).unwrap();

    let student = ["--set", "student.embed_dim=8", "--set", "student.num_heads=2"];
    let run = |precision: &str, out: &str| {
        let mut line = distill(&file, &folder.path().join(out));
        line.args(["--student", "vit_tiny_patch16_224", "--set", "student.depth=2"]);
        line.args(student).args(["--precision", precision]);
        line
    };
    fail_with(
        &mut run("f16", "half"),
        &["blocks.1.mlp.fc1.weight holds 7e4", "65504", "--precision bf16 or f32"],
    );
    succeed(&mut run("bf16", "brain"));
    succeed(&mut run("f32", "full"));
}

#[test]
fn a_student_starts_from_weights_with_a_head_and_says_that_it_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    model(&at("teacher.safetensors"), 0);
    model(&at("student.safetensors"), 5);
    let start = format!("student.weights={:?}", at("student.safetensors"));
    let mut line = distill(&at("teacher.safetensors"), &at("run"));
    let outcome = succeed(line.args(["--set", &start]));
    assert!(outcome.stderr.contains("left out its head of 5 classes"), "{}", outcome.stderr);
    let student = WeightsFile::open(&at("run").join("student.safetensors")).unwrap();
    assert!(student.names().all(|name| !name.starts_with("head")));

    // With labels its head is made anew for their classes.
    let mut line = distill(&at("teacher.safetensors"), &at("labelled"));
    let outcome = succeed(line.args(["--set", &start, "--label-weight", "1"]));
    assert!(outcome.stderr.contains("its own has 5"), "{}", outcome.stderr);
    let record: PathBuf = at("labelled").join("run.json");
    serde_json::from_str::<Value>(&std::fs::read_to_string(record).unwrap()).unwrap();
}

#[test]
fn a_name_without_a_tag_says_how_weights_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fail_with(
        &mut distill(Path::new("vit_large_patch16_224"), &folder.path().join("run")),
        &["vit_large_patch16_224", "not of weights", "vit_large_patch16_224.augreg_in21k"],
    );
}
