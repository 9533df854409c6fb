//! Weights at another image size than their own.

use std::path::Path;
use std::process::Command;

use singer::model::{ImageSize, Model, ModelSpec};
use singer::vit::VitConfig;
use singer::{Device, weights};

use crate::support::{distill, fail_with, run, singer, succeed, teacher};

fn shape(file: &Path) -> VitConfig {
    weights::stored_config(file).unwrap().unwrap().1
}

fn command(name: &str, model: &Path, size: &str) -> Command {
    let mut command = singer();
    command.arg(name).arg(model).args(["--size", size]);
    command
}

#[test]
fn a_student_is_trained_and_saved_at_the_size_that_is_asked_for() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(distill(&teacher, &out, 2).args(["--size", "32x24"]));
    let student = out.join("student.safetensors");
    assert_eq!(shape(&student).img_size, [32, 24]);
    assert_eq!(shape(&teacher).img_size, [16, 16], "the teacher's file stays");

    // Of a checkpoint of another size the run says so and does not go on.
    succeed(distill(&teacher, &out, 2).args(["--size", "32x24", "--resume"]));
    fail_with(distill(&teacher, &out, 2).arg("--resume"), &["img_size"]);

    // A student that starts from weights follows the teacher's size.
    let again = folder.path().join("again");
    succeed(
        singer()
            .args(["distill", "--data", "scenes:64", "--device", "cpu", "--batch", "8"])
            .args(["--method", "fitnet", "--steps", "1", "--size", "24", "--teacher"])
            .arg(&teacher)
            .arg("--set")
            .arg(format!("student.weights={:?}", student.display().to_string()))
            .arg("--out")
            .arg(&again),
    );
    assert_eq!(shape(&again.join("student.safetensors")).img_size, [24, 24]);

    let settings = ["--data", "scenes:16", "--batch", "8", "--steps", "1", "--device", "cpu"];
    let larger = folder.path().join("larger");
    let from = format!("model.weights={:?}", teacher.display().to_string());
    succeed(
        singer()
            .args(["pretrain", "--size", "20", "--set", &from])
            .args(settings)
            .arg("--out")
            .arg(&larger),
    );
    assert_eq!(shape(&larger.join("model.safetensors")).img_size, [20, 20]);
}

#[test]
fn every_command_that_looks_at_images_takes_a_size() {
    let (folder, teacher) = teacher();
    let path = |name: &str| folder.path().join(name);
    let data = ["--data", "scenes:8"];
    let adapters = path("adapters.safetensors");
    let fit = ["--limit", "8", "--device", "cpu", "--out"];
    succeed(command("fit", &teacher, "24").args(data).args(fit).arg(&adapters));
    assert!(adapters.is_file());

    let planted = path("planted.safetensors");
    let plant = ["--block", "1", "--rank", "4", "--images", "8", "--out"];
    succeed(command("plant", &teacher, "24").args(data).args(plant).arg(&planted));
    assert_eq!(shape(&planted).img_size, [24, 24]);

    let recover = ["--limit", "8", "--rank", "4", "--fit-steps", "1", "--device", "cpu"];
    let given = ["--block", "1", "--planted"];
    let mut recovered = command("recover", &teacher, "24");
    recovered.args(data).args(recover).args(given).arg(&planted).arg("--out").arg(path("r"));
    succeed(&mut recovered);

    let sets = ["--train", "scenes:8", "--test", "scenes:8-16", "--device", "cpu", "--json"];
    let plain = succeed(singer().arg("evaluate").arg(&teacher).args(sets)).stdout;
    let larger = succeed(command("evaluate", &teacher, "24").args(sets)).stdout;
    assert_ne!(plain, larger, "the size changes what is measured");

    let mut probe = singer();
    probe.args(["probe", "classify"]).arg(&teacher).args(["--size", "24x16"]).args(sets);
    let report = succeed(probe.args(["--epochs", "1", "--no-cache"])).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["config"]["size"], serde_json::json!([24, 16]));
}

#[test]
fn sizes_that_cannot_be_are_refused_with_one_that_can() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    fail_with(distill(&teacher, &out, 2).args(["--size", "18"]), &["18x18", "use 16x16", "--size"]);
    for wrong in ["0", "-4", "12x", "x", "1e3", "99999"] {
        let outcome = run(&mut command("evaluate", &teacher, wrong));
        assert_eq!(outcome.code, Some(2), "{wrong}: {}", outcome.stderr);
    }
}

#[test]
fn a_model_far_above_224_pixels_says_what_that_costs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.safetensors");
    let mut spec = ModelSpec::named("vit_tiny_patch16_224");
    spec.img_size = Some(ImageSize::Square(448));
    spec.patch_size = Some(56);
    (spec.embed_dim, spec.depth, spec.num_heads) = (Some(16), Some(2), Some(2));
    Model::new(spec, 0, &Device::cpu()).unwrap().save(&file).unwrap();
    let settings = ["--data", "scenes:2", "--limit", "2", "--out"];
    let mut native = singer();
    native.arg("fit").arg(&file).args(settings).arg(folder.path().join("a.safetensors"));
    let said = succeed(&mut native).stderr;
    assert!(said.contains("448x448 pixels, 65 tokens"), "{said}");
    assert!(said.contains("with --size 224 it is 17 tokens"), "{said}");
    let mut sized = command("fit", &file, "448");
    sized.args(settings).arg(folder.path().join("b.safetensors"));
    assert!(!succeed(&mut sized).stderr.contains("tokens"), "who states a size is not told");
}
