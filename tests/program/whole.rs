use std::fs;
use std::path::Path;

use singer::data::render;
use singer::weights::NamedTensors;

use crate::support::{distill, fail_with, metrics, singer, succeed, teacher, tiny};

#[test]
fn distill_writes_student_adapters_metrics_and_run() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let outcome = succeed(distill(&teacher, &out, 12).args(["--refine", "published"]));
    assert!(outcome.stdout.contains("largest over median patch norm"), "{}", outcome.stdout);

    let records = metrics(&out);
    assert_eq!(records.len(), 12);
    for record in &records {
        for term in ["kd", "outlier", "info", "loss"] {
            assert!(record[term].as_f64().unwrap().is_finite(), "{term} in {record}");
        }
    }
    let kd = |record: &serde_json::Value| record["kd"].as_f64().unwrap();
    assert!(kd(&records[11]) < kd(&records[0]), "12 steps lower the distillation loss");

    let student = NamedTensors::read(&out.join("student.safetensors")).unwrap();
    let shape = |name: &str| student.tensors[name].shape().to_vec();
    assert_eq!(shape("patch_embed.proj.weight"), [8, 3, 4, 4]);
    assert_eq!(shape("blocks.2.attn.qkv.weight"), [24, 8]);
    assert_eq!(shape("norm.weight"), [8]);
    assert!(!student.tensors.contains_key("head.weight"));
    let parts = NamedTensors::read(&out.join("singer.safetensors")).unwrap();
    assert_eq!(parts.tensors["adapter.1.down"].shape().to_vec(), [16, 4]);
    assert_eq!(parts.tensors["proj.2.weight"].shape().to_vec(), [16, 8]);

    let run: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["config"]["singer"]["rank"], 4);
    assert_eq!(run["result"]["norms"].as_array().unwrap().len(), 2);
    assert!(run["device"].as_str().unwrap().contains("CPU"));
}

#[test]
fn images_come_from_folders_and_from_zips_alike() {
    let folder = tempfile::tempdir().unwrap();
    let zip_path = folder.path().join("set.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&zip_path).unwrap());
    for index in 0..16 {
        let scene = render(1, index, 24);
        let name = format!("class-{}/{index}.png", scene.class);
        let path = folder.path().join("set").join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        scene.image.save(&path).unwrap();
        zip.start_file(format!("set/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &fs::read(&path).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    let train = |data: &Path, out: &str| {
        let out = folder.path().join(out);
        succeed(
            singer()
                .args(["pretrain", "--model", "vit_tiny_patch16_224", "--batch", "4"])
                .args(["--steps", "3", "--device", "cpu", "--data"])
                .arg(data)
                .arg("--out")
                .arg(&out)
                .args(tiny("model")),
        );
        fs::read(out.join("model.safetensors")).unwrap()
    };
    let from_folder = train(&folder.path().join("set"), "a");
    assert!(from_folder == train(&zip_path, "b"), "the zip's root");
    assert!(from_folder == train(&zip_path.join("set"), "c"), "a folder inside the zip");
}

#[test]
fn a_plain_folder_of_images_is_enough_where_no_labels_are_used() {
    let (folder, teacher) = teacher();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for index in 0..8 {
        render(1, index, 24).image.save(photos.join(format!("{index}.png"))).unwrap();
    }
    let mut fit = singer();
    let fitted = folder.path().join("fitted.safetensors");
    fit.arg("fit").arg(&teacher).arg("--data").arg(&photos).arg("--out").arg(&fitted);
    fit.args(["--kind", "trained", "--layers", "1", "--rank", "4", "--steps", "2"]);
    succeed(fit.args(["--device", "cpu"]));
    let out = folder.path().join("run");
    let run = |out: &Path| {
        let mut run = singer();
        run.args(["distill", "--student", "vit_tiny_patch16_224", "--layers", "1", "--rank", "4"]);
        run.args(["--batch", "4", "--steps", "1", "--device", "cpu"]).args(tiny("student"));
        run.arg("--teacher").arg(&teacher).arg("--data").arg(&photos).arg("--out").arg(out);
        run
    };
    succeed(&mut run(&out));
    let labels = folder.path().join("labels");
    let refused = &["photos", "0 class folder", "at least two"];
    fail_with(run(&labels).args(["--label-weight", "1"]), refused);
}

#[test]
fn the_reference_form_and_sgd_train_too() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(
        distill(&teacher, &out, 4)
            .args([
                "--refine",
                "published",
                "--losses",
                "reference",
                "--basis",
                "threshold",
                "--clip",
                "1",
            ])
            .args([
                "--set",
                "optimizer.name=sgd",
                "--set",
                "optimizer.momentum=0.9",
                "--lr",
                "0.01",
            ])
            .args(["--set", "schedule.name=milestones", "--set", "schedule.epochs=[0.25]"]),
    );
    let rates: Vec<f64> =
        metrics(&out).iter().map(|record| record["lr"].as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 4);
    assert!((rates[0] - 0.01).abs() < 1e-12 && (rates[3] - 0.001).abs() < 1e-12, "{rates:?}");
}

#[test]
fn nullspace_devices_and_evaluate_print_json() {
    let (_folder, teacher) = teacher();
    // A run's folder stands for the model in it.
    let run = teacher.parent().unwrap();
    succeed(singer().args(["nullspace", "--json"]).args(["--rank", "2"]).arg(run));
    let json = |command: &mut std::process::Command| -> serde_json::Value {
        serde_json::from_str(&succeed(command).stdout).unwrap()
    };
    let layers = json(singer().arg("nullspace").arg(&teacher).args(["--rank", "4", "--json"]));
    for layer in layers.as_array().unwrap() {
        let spectrum = layer["spectrum"].as_array().unwrap();
        let residual = layer["residual"].as_f64().unwrap();
        assert!((residual - spectrum[12].as_f64().unwrap()).abs() < 1e-9, "{layer}");
    }
    let devices = json(singer().args(["devices", "--json"]));
    assert_eq!(devices.as_array().unwrap().last().unwrap()["choice"], "cpu");
    let report = json(singer().arg("evaluate").arg(&teacher).args([
        "--train",
        "scenes:40",
        "--test",
        "scenes:40-60",
        "--device",
        "cpu",
        "--json",
    ]));
    assert_eq!(report["test_images"], 20);
    assert!((0.0..=1.0).contains(&report["knn_top1"].as_f64().unwrap()));
}
