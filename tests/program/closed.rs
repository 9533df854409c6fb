use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use singer::weights::NamedTensors;

use crate::support::{fail_with, singer, succeed};

fn teacher() -> PathBuf {
    std::path::absolute("assets/demo-teacher.safetensors").unwrap()
}

fn distill(out: &Path) -> Command {
    let mut command = singer();
    command.args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:64"]);
    command.args(["--layers", "3", "--batch", "8", "--steps", "2", "--device", "cpu"]);
    command.args(["--set", "student.embed_dim=16", "--set", "student.depth=3"]);
    command.args(["--set", "student.num_heads=2", "--set", "closed.images=64", "--teacher"]);
    command.arg(teacher()).arg("--out").arg(out);
    command
}

fn fit(out: &Path) -> Command {
    let mut command = singer();
    command.arg("fit").arg(teacher()).args(["--data", "scenes:64", "--device", "cpu", "--out"]);
    command.arg(out);
    command
}

fn run_file(out: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap()
}

#[test]
fn the_artifacts_of_the_demo_teacher_are_found_where_they_were_planted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let said = succeed(&mut distill(&run)).stdout;
    assert!(said.contains("block 3: artifacts along 1 direction"), "{said}");
    let record = run_file(&run);
    assert_eq!(record["config"]["refine"], "closed");
    assert_eq!(record["closed_form"].as_array().unwrap().len(), 1);
    for layer in record["result"]["norms"].as_array().unwrap() {
        let [raw, refined] =
            ["raw", "refined"].map(|of| layer[of]["max_over_median"].as_f64().unwrap());
        assert!(raw > 2.2 && refined < 1.6, "{layer}");
    }
    succeed(distill(&run).arg("--resume"));
    assert_eq!(run_file(&run)["closed_form"], record["closed_form"], "it outlives a resumption");
    let parts = NamedTensors::read(&run.join("singer.safetensors")).unwrap();
    let shape = |name: &str| parts.tensors[name].shape().to_vec();
    assert_eq!((shape("adapter.3.down")[1], shape("adapter.3.limit")), (1, vec![1]));
    assert_eq!(shape("proj.5.weight")[1], 16);
}

#[test]
fn a_closed_form_is_used_as_it_is_by_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("closed.safetensors");
    let said = succeed(&mut fit(&file)).stdout;
    assert!(said.contains("block 3") && said.contains("class token"), "{said}");
    let by_itself = folder.path().join("by-itself");
    succeed(distill(&by_itself).args(["--method", "fitnet", "--refine", "closed"]));
    let given = folder.path().join("given");
    let said =
        succeed(distill(&given).args(["--method", "fitnet", "--adapters"]).arg(&file)).stdout;
    assert!(!said.contains("artifacts along"), "it is not estimated anew: {said}");
    let student = |run: &Path| fs::read(run.join("student.safetensors")).unwrap();
    assert!(student(&by_itself) == student(&given));
    let raw = folder.path().join("raw");
    succeed(distill(&raw).args(["--method", "fitnet"]));
    assert!(student(&raw) != student(&given), "a baseline's teacher is raw by default");
}

#[test]
fn refinements_that_do_not_go_together_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("closed.safetensors"), folder.path().join("run"));
    succeed(&mut fit(&file));
    let mut trained = distill(&out);
    trained.args(["--refine", "published", "--adapters"]).arg(&file);
    fail_with(&mut trained, &["closed.safetensors", "not trained"]);
    let mut baseline = distill(&out);
    baseline.args(["--method", "kd", "--refine", "trained"]);
    fail_with(&mut baseline, &["SiNGER alone", "--refine"]);
    let mut labels = distill(&out);
    labels.args(["--method", "none", "--refine", "closed"]);
    fail_with(&mut labels, &["labels alone have no teacher", "--refine"]);
    fail_with(fit(&out).args(["--steps", "9"]), &["--steps goes with --kind published"]);
    let mut gate = fit(&out);
    fail_with(gate.args(["--kind", "trained", "--gate", "3"]), &["--gate goes with --kind closed"]);
    fail_with(fit(&out).args(["--gate", "0"]), &["gate is 0", "above 0"]);
    fail_with(fit(&out).args(["--norm-factor", "1"]), &["norm_factor is 1", "above 1"]);
    assert!(!out.exists());
}

#[test]
fn a_teacher_without_artifacts_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let clean = folder.path().join("clean");
    succeed(
        singer()
            .args(["pretrain", "--model", "vit_tiny_patch16_224", "--data", "scenes:32"])
            .args(["--batch", "8", "--steps", "2", "--device", "cpu", "--out"])
            .arg(&clean)
            .args(crate::support::tiny("model")),
    );
    let file = folder.path().join("none.safetensors");
    let mut fit = singer();
    fit.arg("fit").arg(clean.join("model.safetensors")).args(["--data", "scenes:64", "--out"]);
    let said = succeed(fit.arg(&file).args(["--device", "cpu"])).stdout;
    assert!(said.contains("no artifacts found in 64 images"), "{said}");
    assert!(NamedTensors::read(&file).unwrap().tensors.is_empty());
}
