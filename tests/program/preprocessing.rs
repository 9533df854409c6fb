//! How images are prepared: flags, the weights file, the files beside it, the preset.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use serde_json::{Value, json};
use singer::weights;

use crate::support::{distill, fail_with, singer, succeed, teacher};

fn evaluate(weights: &Path, flags: &[&str]) -> Command {
    let mut command = singer();
    command.arg("evaluate").arg(weights).args(["--train", "scenes:8", "--test", "scenes:4"]);
    command.args(["--device", "cpu", "--json"]).args(flags);
    command
}

fn preprocess(weights: &Path, flags: &[&str]) -> Value {
    let outcome = succeed(&mut evaluate(weights, flags));
    serde_json::from_str::<Value>(&outcome.stdout).unwrap()["preprocess"].clone()
}

/// The same weights as a file that does not say how images are prepared, alone in
/// a folder.
fn bare(weights: &Path, folder: PathBuf) -> PathBuf {
    fs::create_dir(&folder).unwrap();
    let (arch, config) = weights::stored_config(weights).unwrap().unwrap();
    let model = weights::load(weights, &arch, &config, &Device::flex()).unwrap();
    let file = folder.join("model.safetensors");
    weights::save(&model, &arch, &config, &file).unwrap();
    file
}

#[test]
fn flags_come_before_the_files_beside_the_weights_and_those_before_the_preset() {
    let (folder, teacher) = teacher();
    let file = bare(&teacher, folder.path().join("bare"));
    let preset = preprocess(&file, &[]);
    assert_eq!(preset["crop_pct"], 0.9);
    assert_eq!(preset["crop_mode"], "center");
    assert_eq!(preset["mean"], json!([0.5, 0.5, 0.5]));

    let beside = |name: &str, config: Value| {
        fs::write(file.with_file_name(name), config.to_string()).unwrap();
    };
    let about = |arch: &str| {
        let config = json!({ "crop_pct": 0.75, "crop_mode": "squash", "interpolation": "bilinear",
            "mean": [0.25, 0.5, 0.75], "std": [0.25, 0.25, 0.5] });
        json!({ "architecture": arch, "pretrained_cfg": config })
    };
    beside("config.json", about("vit_small_patch16_224"));
    assert_eq!(preprocess(&file, &[]), preset, "what is about another model says nothing");
    beside("config.json", about("vit_tiny_patch16_224"));
    let timm = preprocess(&file, &[]);
    assert_eq!(timm["crop_pct"], 0.75);
    assert_eq!(timm["crop_mode"], "squash");
    assert_eq!(timm["interpolation"], "bilinear");
    assert_eq!(timm["mean"], json!([0.25, 0.5, 0.75]));

    beside(
        "preprocessor_config.json",
        json!({ "image_processor_type": "BitImageProcessor", "size": { "shortest_edge": 20 },
            "crop_size": { "height": 16, "width": 16 }, "image_std": [0.5, 0.25, 0.5] }),
    );
    let transformers = preprocess(&file, &[]);
    assert_eq!(transformers["resize"], json!({ "shortest_edge": 20 }));
    assert_eq!(transformers["crop"], json!([16, 16]));
    assert_eq!(transformers["interpolation"], "bicubic");
    assert_eq!(transformers["std"], json!([0.5, 0.25, 0.5]));

    let flags = ["--crop-pct", "0.5", "--interpolation", "lanczos", "--mean", "0.5,0.25,0"];
    let asked = preprocess(&file, &flags);
    assert_eq!(asked["crop_pct"], 0.5);
    assert_eq!(asked["interpolation"], "lanczos");
    assert_eq!(asked["mean"], json!([0.5, 0.25, 0.0]));
    assert_eq!(asked["std"], transformers["std"]);
}

#[test]
fn a_student_is_measured_on_images_prepared_as_its_teachers_were() {
    let (folder, teacher) = teacher();
    let run = folder.path().join("run");
    let mut command = distill(&teacher, &run, 1);
    succeed(command.args([
        "--set",
        "data.mean=[0.25, 0.5, 0.5]",
        "--set",
        "data.crop_mode=border",
    ]));
    let seen = preprocess(&run.join("student.safetensors"), &[]);
    assert_eq!(seen["mean"], json!([0.25, 0.5, 0.5]));
    assert_eq!(seen["crop_mode"], "border");
}

#[test]
fn a_preparation_that_cannot_be_is_one_line_with_the_file_or_the_flag() {
    let (folder, teacher) = teacher();
    let file = bare(&teacher, folder.path().join("bare"));
    fail_with(&mut evaluate(&file, &["--crop-pct", "0"]), &["crop_pct", "between 0 and 1"]);
    fail_with(&mut evaluate(&file, &["--std", "0,1,1"]), &["std is [0.0, 1.0, 1.0]", "above 0"]);
    fail_with(&mut evaluate(&file, &["--mean", "0.5"]), &["--mean", "R,G,B"]);
    let config = file.with_file_name("preprocessor_config.json");
    let name = "preprocessor_config.json";
    for (text, reason) in [
        ("{", "not readable as JSON"),
        ("[]", "not an image processor"),
        (r#"{"image_processor_type": "OwlImageProcessor"}"#, "`OwlImageProcessor`"),
        (r#"{"image_processor_type": "ViTImageProcessor", "resample": 9}"#, "resample is 9"),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "size": {"height": 0, "width": 4}}"#,
            "size is",
        ),
        (r#"{"image_processor_type": "ViTImageProcessor", "image_std": [0, 1, 1]}"#, "above 0"),
        (r#"{"image_processor_type": "ViTImageProcessor", "do_pad": true}"#, "do_pad"),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "rescale_factor": -1}"#,
            "rescale_factor",
        ),
    ] {
        fs::write(&config, text).unwrap();
        fail_with(&mut evaluate(&file, &[]), &[name, reason]);
    }
}
