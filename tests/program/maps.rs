//! `singer inspect --map`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{distill, fail_with, singer, succeed, teacher};

/// 32 px, patches of 4 px, 6 blocks of 4 heads.
const DEMO: &str = "assets/demo-teacher.safetensors";

fn inspect(images: &str, out: &Path) -> Command {
    let mut command = singer();
    command.args(["inspect", images, "--device", "cpu", "--out"]).arg(out);
    command
}

/// The further maps of a kind in an image, in their order.
fn visuals<'a>(found: &'a Value, image: usize, kind: &str) -> Vec<&'a Value> {
    let all = found["images"][image]["visuals"].as_array().unwrap();
    all.iter().filter(|visual| visual["kind"] == kind).collect()
}

fn numbers(visual: &Value, of: &str) -> Vec<f64> {
    let values = visual["values"][of].as_array().unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn read(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("inspect.json")).unwrap()).unwrap()
}

#[test]
fn every_further_map_is_drawn_for_teacher_and_refinement() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    succeed(
        inspect("scenes:20000-20008", &out)
            .args(["--teacher", DEMO, "--refine", "closed", "--layers", "3,5", "--batch", "3"])
            .args(["--map", "pca,attention,segments,nearest", "--foreground", "--segments", "3"])
            .args(["--mark", "1:2,5", "--sizes", "16,48"]),
    );
    let found = read(&out);
    for image in 0..8 {
        let pca = visuals(&found, image, "pca");
        let subjects: Vec<&str> = pca.iter().map(|map| map["subject"].as_str().unwrap()).collect();
        assert_eq!(subjects, ["teacher", "closed form"].repeat(2));
        for map in &pca {
            assert_eq!(map["grid"], serde_json::json!([8, 8]));
            assert_eq!(map["note"], "components of the closed form");
            for colour in map["values"]["colours"].as_array().unwrap() {
                let values = colour.as_array().unwrap();
                let inside =
                    values.iter().filter_map(Value::as_f64).filter(|v| (0.0..=1.0).contains(v));
                assert!([0, 3].contains(&inside.count()), "a colour or background: {colour}");
            }
        }
        let hidden = |map: &Value| {
            let colours = map["values"]["colours"].as_array().unwrap();
            colours.iter().map(|colour| colour[0].is_null()).collect::<Vec<_>>()
        };
        assert_eq!(hidden(pca[0]), hidden(pca[1]), "one background for all");

        for map in visuals(&found, image, "segments") {
            assert!(numbers(map, "labels").iter().all(|label| (0.0..3.0).contains(label)));
        }
        // 2 layers of 2 subjects, each with 2 tokens: a mean and 4 heads.
        let attention = visuals(&found, image, "attention");
        assert_eq!(attention.len(), 2 * 2 * 2 * 5);
        for of_token in attention.chunks(5) {
            let heads: Vec<Vec<f64>> =
                of_token[1..].iter().map(|map| numbers(map, "numbers")).collect();
            for (patch, mean) in numbers(of_token[0], "numbers").into_iter().enumerate() {
                let own = heads.iter().map(|head| head[patch]).sum::<f64>() / 4.0;
                assert!((own - mean).abs() < 1e-6, "the mean of the heads");
            }
            let whole: f64 = heads[0].iter().sum();
            assert!((1e-6..1.0001).contains(&whole), "{whole} on patches");
        }
        for map in visuals(&found, image, "nearest") {
            let similar = numbers(map, "numbers");
            let place = &map["marked"];
            let at = (place[0].as_u64().unwrap() * 8 + place[1].as_u64().unwrap()) as usize;
            let most = similar.iter().copied().fold(f64::MIN, f64::max);
            assert!(most <= 1.0 + 1e-5 && (similar[at] - most).abs() < 1e-5);
            if image == 1 {
                assert_eq!((at, map["note"].as_str()), (2 * 8 + 5, Some("the marked patch")));
                assert!((similar[at] - 1.0).abs() < 1e-5);
            }
        }
        let sizes: Vec<&Value> =
            visuals(&found, image, "sizes").iter().map(|map| &map["grid"]).collect();
        assert_eq!(sizes.iter().filter(|grid| ***grid == serde_json::json!([4, 4])).count(), 4);
        assert_eq!(sizes.iter().filter(|grid| ***grid == serde_json::json!([12, 12])).count(), 4);
    }
    assert_eq!(found["images"][1]["marked"], serde_json::json!([2, 5]), "in that image");
    assert!(out.join("maps/scene-20000.png").is_file());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Layer 3: further maps"));
}

#[test]
fn a_students_colours_come_through_the_projection_or_are_turned_and_that_is_said() {
    let (folder, tiny) = teacher();
    let (out, run) = (folder.path().join("out"), folder.path().join("run"));
    succeed(&mut distill(&tiny, &run, 2));
    let pca = ["--map", "pca", "--layers", "1"];
    succeed(inspect("scenes:3", &out).args(pca).arg("--run").arg(&run));
    let note = |found: &Value| {
        let all = visuals(found, 0, "pca");
        let student = all.iter().find(|map| map["subject"] == "student").unwrap();
        student["note"].as_str().unwrap().to_owned()
    };
    assert!(note(&read(&out)).ends_with("through the projection"), "{}", note(&read(&out)));
    let student = run.join("student.safetensors");
    succeed(
        inspect("scenes:3", &out)
            .args(pca)
            .arg("--teacher")
            .arg(&tiny)
            .arg("--student")
            .arg(student),
    );
    assert!(note(&read(&out)).contains("turned to match"), "{}", note(&read(&out)));
}

#[test]
fn shifted_copies_make_maps_finer_and_leave_norms_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, fine] = ["plain", "fine"].map(|name| folder.path().join(name));
    let common = ["--teacher", DEMO, "--layers", "5", "--map", "pca,segments,nearest"];
    succeed(inspect("scenes:2", &plain).args(common));
    succeed(inspect("scenes:2", &fine).args(common).args(["--shifts", "2"]));
    let [plain, fine] = [read(&plain), read(&fine)];
    assert_eq!(plain["images"][0]["layers"], fine["images"][0]["layers"]);
    for kind in ["pca", "segments", "nearest"] {
        let grid = |found| visuals(found, 0, kind)[0]["grid"].clone();
        assert_eq!(grid(&plain), serde_json::json!([8, 8]));
        assert_eq!(grid(&fine), serde_json::json!([16, 16]));
    }
}

#[test]
fn one_image_is_enough_and_what_does_not_fit_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let all = "pca,attention,segments,nearest";
    succeed(inspect("scenes:1", &out).args(["--teacher", DEMO, "--layers", "0", "--map", all]));
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--map", "depth"], &["--map depth", "pca, attention, segments or nearest"]),
        (
            &["--map", "segments", "--segments", "65"],
            &["segments is 65", "64 patches", "--segments"],
        ),
        (&["--map", "segments", "--segments", "0"], &["segments is 0", "at least one"]),
        (&["--map", "pca", "--shifts", "3"], &["shifts is 3", "4 pixels", "--shifts"]),
        (&["--map", "pca", "--foreground", "90"], &["foreground is 90", "0 of 64 patches"]),
        (&["--foreground"], &["--foreground", "--map pca"]),
        (
            &["--map", "nearest", "--mark", "1:0,0"],
            &["marked_image is 1", "there are 1 images", "--mark"],
        ),
        (&["--map", "nearest", "--mark", "0:8,0"], &["8,0", "8x8 patches"]),
        (&["--map", "attention", "--layers", "6"], &["layer 6", "0 to 5"]),
    ];
    for (arguments, expected) in cases {
        let mut command = inspect("scenes:1", &folder.path().join("fault"));
        fail_with(command.args(["--teacher", DEMO]).args(arguments), expected);
    }
}
