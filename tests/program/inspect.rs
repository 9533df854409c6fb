use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use serde_json::Value;
use singer::data::{Normalise, render};
use singer::tokens::patch_norms;
use singer::weights;

use crate::support::{distill, fail_with, run, singer, succeed, teacher};

/// 32 px, patches of 4 px, 128 wide, 6 blocks, artifacts from block 3 on.
fn demo_teacher() -> PathBuf {
    PathBuf::from("assets/demo-teacher.safetensors")
}

fn inspect(images: &str, out: &Path) -> Command {
    let mut command = singer();
    command.args(["inspect", images, "--device", "cpu", "--out"]).arg(out);
    command
}

fn findings(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("inspect.json")).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Largest over median patch norm of a subject at a layer, over all images.
fn spread(findings: &Value, subject: &str, layer: usize) -> f64 {
    let series = array(&findings["depth"]).iter().find(|s| s["subject"] == subject).unwrap();
    let row = array(&series["rows"]).iter().find(|row| row["layer"] == layer).unwrap();
    let quantiles = floats(&row["quantiles"]);
    quantiles[7] / quantiles[3]
}

#[test]
fn a_teacher_alone_gives_the_librarys_norms_and_its_drift() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    succeed(
        inspect("scenes:5000-5006", &out)
            .args(["--layers", "5,3", "--rank", "16", "--inject", "--training-free", "--teacher"])
            .arg(demo_teacher()),
    );
    let found = findings(&out);
    assert_eq!(found["layers"], serde_json::json!([3, 5]));
    assert_eq!(found["images"].as_array().unwrap().len(), 6);

    let (arch, config) = weights::stored_config(&demo_teacher()).unwrap().unwrap();
    let device = Device::flex();
    let vit = weights::load(&demo_teacher(), &arch, &config, &device).unwrap();
    for (index, image) in array(&found["images"]).iter().enumerate() {
        let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
        let input = normalise.batch([&render(2026, 5000 + index, 32).image], &device).unwrap();
        let tokens = vit.intermediate(input, &[3, 5]);
        for (layer, tokens) in array(&image["layers"]).iter().zip(tokens) {
            let norms: Vec<f64> = patch_norms(tokens, 1).into_data().iter::<f64>().collect();
            let map = &layer["maps"][0];
            assert_eq!((&map["kind"], &map["subject"]), (&"norm".into(), &"teacher".into()));
            for (ours, theirs) in floats(&map["values"]).iter().zip(&norms) {
                assert!((ours - theirs).abs() < 1e-4 * theirs, "{ours} {theirs}");
            }
        }
    }
    assert!(spread(&found, "training-free", 3) < spread(&found, "teacher", 3));

    let zeroed = |layer: usize| {
        let all = array(&found["injections"]);
        all.iter().find(|i| i["layer"] == layer && i["method"] == "zeroed").unwrap()
    };
    // 2 of 64 patches lie above the 0.97-quantile.
    let change = zeroed(3)["blocks"][0]["relative_change"].as_f64().unwrap();
    assert!((change - 2.0 / 64.0).abs() < 1e-6, "{change}");
    assert_eq!(array(&zeroed(3)["blocks"]).len(), 3);
    assert!(zeroed(3)["logits"]["kl"].as_f64().unwrap() > 0.0);
    assert_eq!(zeroed(5)["logits"]["kl"], 0.0, "no block is left that would mix patches");
    assert!(found["notes"].to_string().contains("There is no run"));
}

#[test]
fn a_run_lowers_the_refined_norms_and_compares_the_student() {
    let folder = tempfile::tempdir().unwrap();
    let (out, run) = (folder.path().join("out"), folder.path().join("run"));
    succeed(
        singer()
            .args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:400"])
            .args(["--layers", "3", "--rank", "16", "--batch", "16", "--steps", "60"])
            .args(["--lr", "5e-3", "--device", "cpu", "--set", "student.embed_dim=16"])
            .args(["--set", "student.depth=3", "--set", "student.num_heads=2"])
            .args(["--set", "train.measure=16", "--set", "schedule.warmup_epochs=0"])
            .arg("--teacher")
            .arg(demo_teacher())
            .arg("--out")
            .arg(&run),
    );
    succeed(inspect("scenes:5000-5040", &out).args(["--inject", "--run"]).arg(&run));
    let found = findings(&out);
    assert_eq!(found["layers"], serde_json::json!([3, 5]), "the run's");
    assert_eq!(found["spectra"][0]["rank"], 16, "the run's");
    assert_eq!(array(&found["images"]).len(), 16, "evenly spread by default");
    assert_eq!(found["images"][1]["name"], "scene 5002");
    for layer in [3, 5] {
        let (raw, refined) =
            (spread(&found, "teacher", layer), spread(&found, "refined teacher", layer));
        assert!(refined < 0.8 * raw, "layer {layer}: {raw} raw, {refined} refined");
    }
    let layer = &found["images"][0]["layers"][1];
    let order: Vec<(&str, &str)> = array(&layer["maps"])
        .iter()
        .map(|map| (map["kind"].as_str().unwrap(), map["subject"].as_str().unwrap()))
        .collect();
    let expected = [
        ("norm", "teacher"),
        ("norm", "refined teacher"),
        ("norm", "student"),
        ("marked-similarity", "teacher"),
        ("marked-similarity", "refined teacher"),
        ("marked-similarity", "student"),
        ("teacher-student-similarity", "teacher"),
        ("teacher-student-similarity", "refined teacher"),
    ];
    assert_eq!(order, expected);
    // The student was taught to be like the refined teacher, artifacts and all.
    let mean = |at: usize| {
        let values = floats(&layer["maps"][at]["values"]);
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert!(mean(7) > 0.5, "{} to the refined teacher", mean(7));
    let methods: Vec<&str> =
        array(&found["injections"]).iter().map(|i| i["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["refined teacher", "clipped", "zeroed"].repeat(2));

    // Other layers than the run's have no projection, which is said; the closed form shows there
    // what its blocks below have done.
    succeed(inspect("scenes:2", &out).args(["--layers", "1,5", "--run"]).arg(&run));
    let found = findings(&out);
    assert!(found["notes"].to_string().contains("Layer 1: the run has neither adapter"));
    assert_eq!(array(&found["images"][0]["layers"][0]["maps"]).len(), 6);
    assert_eq!(array(&found["images"][0]["layers"][1]["maps"]).len(), 8);
}

#[test]
fn images_of_any_shape_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let (images, out) = (folder.path().join("images"), folder.path().join("out"));
    fs::create_dir_all(images.join("x/y")).unwrap();
    let scene = render(1, 0, 200).image;
    for (name, width, height) in [("x/wide", 150, 40), ("x/y/wide", 100, 45), ("tall", 33, 90)] {
        let cut = image::imageops::crop_imm(&scene, 10, 10, width, height).to_image();
        cut.save(images.join(format!("{name}.png"))).unwrap();
    }
    fs::write(images.join("x/broken.jpg"), "not an image").unwrap();
    let grids = |arguments: &[&str]| -> Vec<(String, Value)> {
        let mut command = inspect(images.to_str().unwrap(), &out);
        succeed(command.args(arguments).args(["--inject", "--teacher"]).arg(demo_teacher()));
        let found = findings(&out);
        assert!(found["notes"].to_string().contains("broken.jpg: unreadable image"));
        for image in array(&found["images"]) {
            let grid = floats(&image["grid"]);
            let values = &image["layers"][0]["maps"][0]["values"];
            assert_eq!(array(values).len() as f64, grid[0] * grid[1]);
        }
        array(&found["images"])
            .iter()
            .map(|image| (image["name"].as_str().unwrap().to_owned(), image["size"].clone()))
            .collect()
    };
    let named = |sizes: [[usize; 2]; 3]| -> Vec<(String, Value)> {
        let names = ["tall.png", "x-wide.png", "y-wide.png"];
        names.iter().zip(sizes).map(|(name, size)| ((*name).into(), size.to_vec().into())).collect()
    };
    assert_eq!(grids(&[]), named([[84, 32], [32, 120], [32, 68]]), "as short as the teacher's");
    assert_eq!(grids(&["--size", "18"]), named([[48, 16], [16, 64], [16, 40]]));
    assert_eq!(grids(&["--size", "original"]), named([[88, 32], [40, 148], [44, 100]]));
    assert_eq!(grids(&["--mark", "1,2", "--limit", "9"]).len(), 3);
    assert_eq!(findings(&out)["images"][0]["marked"], serde_json::json!([1, 2]));
}

#[test]
fn faults_are_named_with_the_fix_and_leave_nothing_behind() {
    let (folder, tiny) = teacher();
    let (out, run_folder) = (folder.path().join("out"), folder.path().join("run"));
    succeed(&mut distill(&tiny, &run_folder, 2));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("broken.png"), "not an image").unwrap();
    fs::write(path("damaged.safetensors"), "no tensors").unwrap();
    image::RgbImage::new(3, 90).save(path("thin.png")).unwrap();
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("other-run")).unwrap();
    fs::write(path("other-run/run.json"), r#"{"command": "pretrain"}"#).unwrap();
    fs::create_dir(path("half-run")).unwrap();
    fs::copy(path("run/run.json"), path("half-run/run.json")).unwrap();

    let teacher_file = tiny.to_str().unwrap().to_owned();
    let demo = demo_teacher().to_str().unwrap().to_owned();
    let of = |teacher: &str| vec!["--teacher".to_owned(), teacher.to_owned()];
    let run_of = |name: &str| vec!["--run".to_owned(), path(name)];
    let with = |mut start: Vec<String>, more: &[&str]| {
        start.extend(more.iter().map(|&text| text.to_owned()));
        start
    };
    let cases: Vec<(String, Vec<String>, Vec<&str>)> = vec![
        (path("none.jpg"), of(&teacher_file), vec!["none.jpg", "No such file"]),
        (path("none.zip"), of(&teacher_file), vec!["none.zip", "No such file"]),
        (path("empty"), of(&teacher_file), vec!["empty", "holds no .jpg"]),
        (path("broken.png"), of(&teacher_file), vec!["broken.png", "unreadable image"]),
        (
            path("thin.png"),
            with(of(&teacher_file), &["--size", "original"]),
            vec!["thin.png", "3x90 pixels", "4x4"],
        ),
        ("scenes:x".into(), of(&teacher_file), vec!["scenes:x", "scenes:A-B"]),
        ("scenes:2".into(), of(&path("damaged.safetensors")), vec!["damaged.safetensors"]),
        ("scenes:2".into(), of(&path("none.safetensors")), vec!["none.safetensors"]),
        (
            "scenes:2".into(),
            with(of(&teacher_file), &["--mark", "4,0"]),
            vec!["scene 0", "4,0", "4x4 patches", "0 to 3"],
        ),
        ("scenes:2".into(), with(of(&teacher_file), &["--layers", "3"]), vec!["layer 3", "0 to 2"]),
        (
            "scenes:2".into(),
            with(of(&teacher_file), &["--quantile", "1.5"]),
            vec!["quantile is 1.5", "between 0 and 1"],
        ),
        (
            "scenes:2".into(),
            with(of(&teacher_file), &["--training-free", "2"]),
            vec!["training_free is 2", "between 0 and 1", "--training-free"],
        ),
        ("scenes:2".into(), with(of(&teacher_file), &["--rank", "17"]), vec!["rank is 17", "16"]),
        ("scenes:2".into(), with(of(&teacher_file), &["--limit", "0"]), vec!["--limit"]),
        ("scenes:2".into(), run_of("empty"), vec!["run.json", "finished distillation"]),
        (
            "scenes:2".into(),
            run_of("other-run"),
            vec!["not a distillation's", "finished distillation"],
        ),
        ("scenes:2".into(), run_of("half-run"), vec!["no student yet"]),
        (
            "scenes:2".into(),
            with(run_of("run"), &["--teacher", &demo]),
            vec!["for layer 1 is", "width 16", "128", "teacher of that run"],
        ),
        (
            "scenes:2".into(),
            with(run_of("run"), &["--student", &teacher_file]),
            vec!["projection of layer 1", "student of that run"],
        ),
        (
            "scenes:2".into(),
            with(of(&teacher_file), &["--layers", "0,1,2", "--student", &demo, "--size", "16"]),
            vec![],
        ),
    ];
    for (images, arguments, parts) in cases {
        let mut command = inspect(&images, &out);
        command.args(&arguments);
        if parts.is_empty() {
            succeed(&mut command);
            fs::remove_dir_all(&out).unwrap();
            continue;
        }
        fail_with(&mut command, &parts);
        assert!(!out.exists(), "{images} {arguments:?} left something behind");
    }

    let blocked = folder.path().join("broken.png/out");
    let mut command = inspect("scenes:2", &blocked);
    fail_with(command.args(of(&teacher_file)), &["broken.png/out", "choose another --out"]);
    fs::remove_file(&tiny).unwrap();
    let mut command = inspect("scenes:2", &out);
    fail_with(command.args(run_of("run")), &["the run's teacher", "give --teacher"]);
    let outcome = run(inspect("scenes:2", &out).args(["--mark", "3"]).args(of(&demo)));
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("row and column"), "{}", outcome.stderr);
}
