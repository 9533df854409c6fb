use std::fs;

use serde_json::Value;

use crate::support::{distill, fail_with, singer, succeed, teacher};

#[test]
fn recover_writes_table_numbers_and_figure_for_every_placement_and_strength() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("recovery");
    let outcome = succeed(
        singer()
            .arg("recover")
            .arg(&teacher)
            .args(["--data", "scenes:48", "--val", "scenes:100-140", "--rank", "4"])
            .args(["--block", "1", "--strengths", "6,12", "--share", "0.06"])
            .args(["--fit-steps", "5", "--device", "cpu", "--out"])
            .arg(&out),
    );
    let found: Value =
        serde_json::from_str(&fs::read_to_string(out.join("recovery.json")).unwrap()).unwrap();
    let cases = found["cases"].as_array().unwrap();
    // The clean teacher, then three placements of two strengths.
    assert_eq!(cases.len(), 7);
    assert_eq!(found["fit_images"], 48);
    assert_eq!(cases[0]["teacher"], "clean");
    for case in &cases[1..] {
        let recoveries = case["recoveries"].as_array().unwrap();
        // Layer 1 in blocks 1 and 2, layer 2 in block 2: six treatments; four of the whole
        // pass in both blocks.
        assert_eq!(recoveries.len(), 26);
        for one in recoveries {
            for patches in ["artifacts", "others", "all"] {
                assert!(one[patches]["tokens"].as_u64().unwrap() > 0);
                for error in ["distance", "norm", "cosine"] {
                    assert!(one[patches][error].as_f64().unwrap() >= 0.0, "{one}");
                }
            }
        }
    }
    let page = fs::read_to_string(out.join("recovery.md")).unwrap();
    for part in ["Treated in block 1, after block 2", "outside, 12x", "| training-free |"] {
        assert!(page.contains(part), "{page}");
    }
    assert!(outcome.stdout.contains("single, inside, 6x"));
    let figure = image::open(out.join("recovery.png")).unwrap();
    assert!(figure.width() > 1000);
}

#[test]
fn recover_takes_a_planted_teacher_and_a_runs_adapters() {
    let (folder, teacher) = teacher();
    let (planted, run) = (folder.path().join("planted.safetensors"), folder.path().join("run"));
    let mut plant = singer();
    plant.arg("plant").arg(&teacher).args(["--data", "scenes:48", "--block", "1", "--rank", "4"]);
    succeed(plant.args(["--strength", "8", "--share", "0.06", "--out"]).arg(&planted));
    succeed(&mut distill(&planted, &run, 3));
    let command = |clean: &std::path::Path, out: &str| {
        let mut command = singer();
        command.arg("recover").arg(clean).args(["--data", "scenes:48", "--device", "cpu"]);
        command.args(["--block", "1", "--rank", "4", "--planted"]).arg(&planted);
        command.arg("--run").arg(&run).arg("--out").arg(folder.path().join(out));
        command
    };
    let distances = |out: &str| -> Vec<f64> {
        let file = folder.path().join(out).join("recovery.json");
        let found: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert!(found["cases"][0]["fits"].as_object().unwrap().is_empty());
        let all = found["cases"][0]["recoveries"].as_array().unwrap().clone();
        all.iter().map(|one| one["artifacts"]["distance"].as_f64().unwrap()).collect()
    };
    succeed(&mut command(&teacher, "a"));
    // Without the clean file: the planted one, silenced.
    let outcome = succeed(command(&planted, "b").args(["--silence", "1"]));
    assert!(outcome.stdout.contains("silenced hidden unit"));
    let printed = succeed(command(&teacher, "c").arg("--json")).stdout;
    let file = fs::read_to_string(folder.path().join("c/recovery.json")).unwrap();
    let [printed, file] =
        [&printed, &file].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(printed, file, "--json prints the file");
    for (a, b) in distances("a").into_iter().zip(distances("b")) {
        assert!((a - b).abs() <= 0.05 * a.max(b), "{a} with the clean file, {b} with the silenced");
    }
}

#[test]
fn recover_says_what_it_cannot_work_with() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("out");
    let command = |args: &[&str]| {
        let mut command = singer();
        command.arg("recover").arg(&teacher).args(["--data", "scenes:16", "--fit-steps", "1"]);
        command.args(["--rank", "4", "--device", "cpu", "--out"]).arg(&out).args(args);
        command
    };
    fail_with(&mut command(&["--placements", "within"]), &["--placements within", "inside"]);
    fail_with(&mut command(&["--kinds", "single,double"]), &["--kinds double", "use single, two"]);
    fail_with(&mut command(&["--treatments", "all"]), &["--treatments all", "raw"]);
    fail_with(&mut command(&["--seeds", "0"]), &["seeds is 0", "--seeds"]);
    fail_with(&mut command(&["--kinds", "class-token", "--class-share", "2"]), &["--class-share"]);
    fail_with(&mut command(&["--kinds", "blocks", "--block", "0"]), &["two blocks", "--block"]);
    fail_with(&mut command(&["--block", "7"]), &["block is 7", "0 to 2"]);
    fail_with(&mut command(&["--quantile", "2"]), &["quantile is 2"]);
    fail_with(&mut command(&["--silence", "9"]), &["block is 9", "0 to 2"]);
    assert!(!out.exists(), "a refused recovery leaves nothing behind");
    let other = command(&["--run", "x"]).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "--run needs --planted");
}

#[test]
fn plant_writes_every_kind_and_its_clean_teacher_which_recover_reads() {
    let (folder, teacher) = teacher();
    let path = |name: &str| folder.path().join(name);
    for kind in ["two", "varied", "wobble", "noise", "shrunk", "class-token", "blocks"] {
        let mut plant = singer();
        plant.arg("plant").arg(&teacher).args(["--data", "scenes:48", "--block", "1"]);
        plant.args(["--rank", "4", "--share", "0.06", "--kind", kind, "--out"]).arg(path(kind));
        let outcome = succeed(plant.arg("--clean").arg(path("clean")));
        assert!(
            outcome.stdout.contains(&format!("artifacts of the kind {kind}")),
            "{}",
            outcome.stdout
        );
    }
    let mut recover = singer();
    recover.arg("recover").arg(path("clean")).args(["--data", "scenes:48", "--device", "cpu"]);
    recover.args(["--block", "1", "--rank", "4", "--treatments", "raw,clipped", "--planted"]);
    succeed(recover.arg(path("blocks")).arg("--out").arg(path("out")));
    let file = fs::read_to_string(path("out").join("recovery.json")).unwrap();
    let found: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(found["cases"][0]["teacher"], "given");
    let recoveries = found["cases"][0]["recoveries"].as_array().unwrap();
    assert!(recoveries.iter().all(|one| one["treatment"] != "published"), "{file}");

    let mut plant = singer();
    plant.arg("plant").arg(&teacher).args(["--data", "scenes:4", "--block", "1", "--kind", "odd"]);
    fail_with(plant.arg("--out").arg(path("odd")), &["--kind odd", "class-token or blocks"]);
}
