use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{GrayImage, ImageBuffer, Luma};
use serde_json::Value;
use singer::data::{Scene, render};
use singer::weights::NamedTensors;

use crate::support::{distill, fail_with, singer, succeed, teacher};

/// `singer probe TASK` of a model on the CPU, its features kept beside it.
fn probe(task: &str, model: &Path) -> Command {
    let mut command = singer();
    let cache = model.with_file_name("features");
    command.args(["probe", task]).arg(model).args(["--device", "cpu", "--cache"]).arg(cache);
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command).stdout).unwrap()
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("probe.json")).unwrap()).unwrap()
}

/// The same without what no two runs share.
fn timeless(mut report: Value) -> Value {
    for key in ["timing", "started"] {
        report.as_object_mut().unwrap().remove(key);
    }
    report
}

#[test]
fn classify_learns_scenes_writes_its_head_and_repeats() {
    let (folder, model) = teacher();
    let classify = |out: &str| {
        let mut command = probe("classify", &model);
        command.args(["--train", "scenes:160", "--test", "scenes:160-200", "--epochs", "40"]);
        command.args(["--subset", "scenes:200-210", "--token", "both", "--out"]);
        command.arg(folder.path().join(out));
        command
    };
    let found = json(classify("a").arg("--json"));
    let test = &found["result"]["test"];
    assert_eq!(test["images"], 40);
    let share = |key: &str| test[key].as_f64().unwrap();
    assert!(share("top1") > 0.125 && share("top1") <= share("top5"), "{test}");
    assert!((0.0..=1.0).contains(&share("knn_top1")));
    assert_eq!(found["result"]["subsets"][0]["classes"], 8);
    assert_eq!(found["config"]["fit"]["optimizer"]["lr"], 0.5);

    let out = folder.path().join("a");
    assert_eq!(report(&out), found);
    let head = NamedTensors::read(&out.join("head.safetensors")).unwrap();
    assert_eq!(head.tensors["weight"].shape().to_vec(), [8, 32]);
    assert_eq!(head.tensors["bias"].shape().to_vec(), [8]);
    let config: Value = serde_json::from_str(&head.metadata["singer.probe"]).unwrap();
    assert_eq!(config["classes"][0], "disc");

    let outcome = succeed(&mut classify("b"));
    for part in ["test: top-1 ", "top-5", "nearest neighbours", "8 classes", "wrote"] {
        assert!(outcome.stdout.contains(part), "{part} is not in {}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("features of"), "the features were kept");
    assert_eq!(timeless(report(&folder.path().join("b"))), timeless(found));
    let bytes = |out: &str| fs::read(folder.path().join(out).join("head.safetensors")).unwrap();
    assert_eq!(bytes("a"), bytes("b"));
}

#[test]
fn classify_chooses_among_learning_rates_and_can_keep_no_features() {
    let (folder, model) = teacher();
    let mut command = singer();
    command.args(["probe", "classify"]).arg(&model).args(["--device", "cpu", "--no-cache"]);
    command.args(["--train", "scenes:100", "--test", "scenes:100-120", "--epochs", "5", "--json"]);
    command.args(["--lr", "0.1,0.5", "--no-knn", "--limit", "50", "--final-norm"]);
    let found = json(&mut command);
    let tried = found["result"]["sweep"].as_array().unwrap();
    assert_eq!(tried.len(), 2);
    let best = tried.iter().map(|one| one["held_out_top1"].as_f64().unwrap()).fold(0.0, f64::max);
    let chosen = &found["config"]["fit"]["optimizer"]["lr"];
    let chosen = tried.iter().find(|one| one["lr"] == *chosen).unwrap();
    assert_eq!(chosen["held_out_top1"], best);
    assert_eq!(found["config"]["train_images"], 50);
    assert!(found["result"]["test"]["knn_top1"].is_null());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the teacher's folder alone");
}

#[test]
fn a_subset_is_scored_by_the_classes_that_it_has() {
    let (folder, model) = teacher();
    let classes = ["disc", "square", "triangle", "ring", "cross", "star", "bars", "crescent"];
    let write = |root: &str, keep: &[usize], name: &dyn Fn(usize) -> String| {
        for index in 300..332 {
            let scene = render(2026, index, 16);
            if keep.contains(&scene.class) {
                let path = folder.path().join(root).join(name(scene.class));
                fs::create_dir_all(&path).unwrap();
                scene.image.save(path.join(format!("{index}.png"))).unwrap();
            }
        }
        folder.path().join(root)
    };
    let named = write("named", &[1, 4], &|class| classes[class].to_owned());
    let numbered = write("numbered", &[0, 1, 4], &|class| class.to_string());
    let mut command = probe("classify", &model);
    command.args(["--train", "scenes:80", "--epochs", "2", "--json", "--subset"]);
    let found = json(command.arg(&named).arg("--subset").arg(&numbered));
    let subsets = found["result"]["subsets"].as_array().unwrap();
    assert_eq!((&subsets[0]["classes"], &subsets[0]["images"]), (&2.into(), &8.into()));
    assert_eq!((&subsets[1]["classes"], &subsets[1]["images"]), (&3.into(), &12.into()));
    assert_eq!(subsets[1]["top5"], 1.0, "three classes are always among five");

    let strange = write("strange", &[1, 4], &|class| format!("x{class}"));
    let mut command = probe("classify", &model);
    command.args(["--train", "scenes:80", "--subset"]).arg(strange);
    fail_with(&mut command, &["strange", "the class `x1` is not one of the 8"]);
}

/// Scenes with what they hold, below `set/images/SPLIT`.
fn dense(root: &Path, split: &str, first: usize, count: usize) -> PathBuf {
    let place = |kind: &str| {
        let folder = root.join("set").join(kind).join(split);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (images, masks, depths) = (place("images"), place("annotations"), place("depth"));
    for index in first..first + count {
        let Scene { image, mask, depth, .. } = render(7, index, 32);
        image.save(images.join(format!("{index}.png"))).unwrap();
        // The sky and the floor are one class, all shapes the other; a column is void.
        let void = |place: usize| place.is_multiple_of(32);
        let label = |(place, &label): (usize, &u8)| if void(place) { 9 } else { label.min(1) };
        let mask = mask.iter().enumerate().map(label).collect();
        GrayImage::from_raw(32, 32, mask)
            .unwrap()
            .save(masks.join(format!("{index}.png")))
            .unwrap();
        let depth = depth.iter().map(|metres| (metres * 1000.0) as u16).collect();
        ImageBuffer::<Luma<u16>, Vec<u16>>::from_raw(32, 32, depth)
            .unwrap()
            .save(depths.join(format!("{index}.png")))
            .unwrap();
    }
    images
}

#[test]
fn segment_scores_pixels_draws_a_sheet_and_repeats() {
    let (folder, model) = teacher();
    let (train, test) = (dense(folder.path(), "train", 0, 24), dense(folder.path(), "test", 50, 6));
    let names = folder.path().join("names.txt");
    fs::write(&names, "ground\nthing\n").unwrap();
    let segment = |out: &str, more: &[&str]| {
        let mut command = probe("segment", &model);
        command.arg("--train").arg(&train).arg("--test").arg(&test).arg("--names").arg(&names);
        command.args(["--ignore", "9", "--epochs", "4", "--batch", "8", "--size", "16x24"]);
        command.args(more).arg("--out").arg(folder.path().join(out));
        command
    };
    let found = json(&mut segment("a", &["--json", "--show", "2"]));
    let result = &found["result"];
    let share = |value: &Value| {
        let share = value.as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{result}");
        share
    };
    let mean = (share(&result["class_iou"]["ground"]) + share(&result["class_iou"]["thing"])) / 2.0;
    assert!((mean - share(&result["miou"])).abs() < 1e-12);
    assert!(share(&result["pixel_accuracy"]) > 0.5);
    assert_eq!(result["pixels"], 6 * 32 * 31, "a column of each does not count");
    let sheet = image::open(folder.path().join("a/sheet.png")).unwrap();
    assert!(sheet.width() > 500 && sheet.height() > 500);
    let head = NamedTensors::read(&folder.path().join("a/head.safetensors")).unwrap();
    assert_eq!(head.tensors["weight"].shape().to_vec(), [2, 16]);

    let outcome = succeed(&mut segment("b", &[]));
    assert!(outcome.stdout.contains("IoU of thing"), "{}", outcome.stdout);
    assert_eq!(timeless(report(&folder.path().join("b"))), timeless(found));
    succeed(&mut segment("c", &["--loss-at", "grid", "--optimizer", "sgd", "--limit", "10"]));
    let limited = report(&folder.path().join("c"));
    assert_eq!(
        (&limited["config"]["train_images"], &limited["config"]["test_images"]),
        (&10.into(), &6.into())
    );
    fail_with(&mut segment("a", &[]), &["already holds a probe", "another --out"]);
}

#[test]
fn depth_scores_metres_and_draws_a_sheet() {
    let (folder, model) = teacher();
    let (train, test) = (dense(folder.path(), "train", 0, 24), dense(folder.path(), "test", 50, 6));
    let depth = |out: &str, more: &[&str]| {
        let mut command = probe("depth", &model);
        command.arg("--train").arg(&train).arg("--test").arg(&test).args(["--epochs", "6"]);
        command.args(["--batch", "8", "--lr", "0.01"]).args(more);
        command.arg("--out").arg(folder.path().join(out));
        command
    };
    let found = json(&mut depth("a", &["--json"]));
    let pixels = &found["result"]["pixels"];
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&pixels["mae"]) <= number(&pixels["rmse"]) && number(&pixels["rmse"]) < 5.0);
    let delta: Vec<f64> = pixels["delta"].as_array().unwrap().iter().map(number).collect();
    assert!(delta[0] <= delta[1] && delta[1] <= delta[2] && delta[2] <= 1.0);
    assert!(folder.path().join("a/sheet.png").is_file());
    let head = NamedTensors::read(&folder.path().join("a/head.safetensors")).unwrap();
    assert_eq!(head.tensors["weight"].shape().to_vec(), [256, 32], "patch and class token");
    let outcome = succeed(&mut depth("b", &["--loss-at", "label", "--bins", "32", "--show", "0"]));
    assert!(outcome.stdout.contains("RMSE over all pixels"), "{}", outcome.stdout);
    assert!(!folder.path().join("b/sheet.png").exists());
    fail_with(&mut depth("c", &["--unit", "1"]), &["nothing in the training images counts"]);
    fail_with(&mut depth("d", &["--bins", "1"]), &["bins.count is 1", "--bins"]);
}

#[test]
fn a_students_features_are_lifted_to_its_teachers_width_for_every_task() {
    let (folder, teacher) = teacher();
    let student = |method: &str| {
        let run = folder.path().join(method);
        succeed(distill(&teacher, &run, 2).args(["--method", method]));
        run.join("student.safetensors")
    };
    let [cosine, relational, refined, logits] =
        ["cosine", "relational", "singer", "kd"].map(student);
    let out = |name: &str| folder.path().join("out").join(name);
    // As a study has it: the model after the flags.
    let classify = |name: &str, lift: &[&str], model: &Path| {
        let mut command = singer();
        command.args(["probe", "classify", "--train", "scenes:24", "--test", "scenes:24-32"]);
        command.args(["--epochs", "2", "--json"]).args(lift).arg(model);
        command.args(["--device", "cpu", "--cache"]).arg(folder.path().join("features"));
        command.arg("--out").arg(out(name));
        command
    };
    let width = |name: &str| {
        let head = NamedTensors::read(&out(name).join("head.safetensors")).unwrap();
        head.tensors["weight"].shape()[1]
    };
    let plain = json(&mut classify("plain", &[], &cosine));
    assert_eq!((width("plain"), &plain["config"]["model"]["lift"]), (8, &Value::Null));
    let lifted = json(&mut classify("lifted", &["--lift"], &cosine));
    assert_eq!(width("lifted"), 16, "the teacher's");
    assert_eq!(lifted["config"]["model"]["lift"], cosine.parent().unwrap().to_str().unwrap());
    assert!(lifted["result"]["test"]["knn_top1"].is_number());
    let folder_of = |file: &Path| format!("--lift={}", file.parent().unwrap().display());
    let named = json(&mut classify("named", &[&folder_of(&cosine)], &cosine));
    assert_eq!(named["result"], lifted["result"]);
    for (name, model) in [("relational", &relational), ("refined", &refined)] {
        succeed(&mut classify(name, &["--lift"], model));
        assert_eq!(width(name), 16, "{name}");
    }

    // A model without a projection stands in the same table of a study as it is.
    let said = succeed(&mut classify("logits", &["--lift"], &logits));
    assert!(said.stderr.contains("is probed as it is"), "{}", said.stderr);
    assert_eq!(width("logits"), 8);
    let mut none = classify("none", &[&folder_of(&logits)], &logits);
    fail_with(&mut none, &["no projection of a student's last block", "distillation of features"]);

    let scenes = dense(folder.path(), "train", 0, 6);
    for (task, parts) in [("segment", 1), ("depth", 2)] {
        let mut command = probe(task, &cosine);
        command.arg("--train").arg(&scenes).arg("--test").arg(&scenes);
        command.args(["--epochs", "1", "--lift", "--json", "--out"]).arg(out(task));
        succeed(&mut command);
        assert_eq!(width(task), 16 * parts, "{task}: patches, and for depth class tokens");
    }
}

#[test]
fn faults_of_a_probe_are_named_before_anything_is_computed() {
    let (folder, model) = teacher();
    let train = dense(folder.path(), "train", 0, 4);
    let out = folder.path().join("out");
    let segment = |more: &[&str]| {
        let mut command = probe("segment", &model);
        command.arg("--train").arg(&train).arg("--test").arg(&train).arg("--out").arg(&out);
        command.args(more);
        command
    };
    fail_with(&mut segment(&["--classes", "2"]), &["0.png", "the label 9", "2 classes"]);
    fail_with(&mut segment(&["--size", "15x16"]), &["img_size is 15x16", "12x16", "--size"]);
    fail_with(&mut segment(&["--names", "absent.txt"]), &["absent.txt", "No such file"]);
    fail_with(&mut segment(&["--limit", "0"]), &["limit is 0", "--limit"]);
    fs::remove_file(folder.path().join("set/annotations/train/2.png")).unwrap();
    fail_with(&mut segment(&[]), &["annotations/train/2.png", "is missing", "images/train/2.png"]);
    let mut command = probe("classify", &model);
    fail_with(command.args(["--train", "scenes:20"]), &["--test or --subset"]);
    let mut command = probe("classify", &model);
    command.args(["--train", "scenes:20", "--test", "scenes:20", "--lr", "0.1,0"]);
    fail_with(&mut command, &["the learning rate must be above 0", "--lr"]);
    assert!(!out.exists() && !folder.path().join("features").exists());

    let broken = folder.path().join("broken");
    for (class, index) in [("a", 0), ("a", 1), ("b", 2)] {
        fs::create_dir_all(broken.join(class)).unwrap();
        render(1, index, 16).image.save(broken.join(class).join(format!("{index}.png"))).unwrap();
    }
    fs::write(broken.join("b/2.png"), b"no picture").unwrap();
    let mut command = probe("classify", &model);
    command.arg("--train").arg(&broken).arg("--test").arg(&broken);
    fail_with(&mut command, &["b/2.png: unreadable image"]);
}

#[test]
#[cfg(target_os = "linux")]
fn features_are_kept_in_the_xdg_cache_folder_without_a_home() {
    let (folder, model) = teacher();
    let cache = folder.path().join("xdg");
    let mut command = singer();
    command.env_remove("HOME").env("XDG_CACHE_HOME", &cache);
    command.args(["probe", "classify"]).arg(&model).args(["--device", "cpu", "--no-knn"]);
    command.args(["--train", "scenes:16", "--test", "scenes:100-108", "--epochs", "1"]);
    let kept = cache.join("singer").join("features");
    let outcome = succeed(&mut command);
    assert!(outcome.stdout.contains(&kept.display().to_string()), "{}", outcome.stdout);
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 2, "one folder for each set");
}
