use serde_json::Value;

use crate::support::{fail_with, singer, succeed};

fn plan(more: &[&str]) -> Value {
    let mut command = singer();
    command.args(["plan", "--student", "vit_tiny_patch16_224", "--device", "cpu", "--json"]);
    serde_json::from_str(&succeed(command.args(more)).stdout).unwrap()
}

#[test]
fn a_timm_name_plans_as_a_teacher_whose_weights_are_not_here() {
    let named = plan(&["--teacher", "vit_small_patch16_224"]);
    assert_eq!(named, plan(&["--teacher-arch", "vit_small_patch16_224"]));
    assert!(named["total"].as_u64().unwrap() > 100_000_000);
    let mut command = singer();
    command.args(["plan", "--student", "vit_tiny_patch16_224", "--teacher", "not_a_teacher"]);
    fail_with(&mut command, &["not_a_teacher"]);
}

#[test]
fn the_largest_batch_fits_and_the_next_does_not() {
    let teacher = ["--teacher", "vit_small_patch16_224"];
    let memory = 1_000_000_000;
    let stated = "1GB";
    let found = plan(&[&teacher[..], &["--memory", stated]].concat());
    let largest = found["largest_batch"].as_u64().unwrap();
    let total = |batch: u64| {
        let batch = batch.to_string();
        let found = plan(&[&teacher[..], &["--memory", stated, "--batch", &batch]].concat());
        found["total"].as_u64().unwrap()
    };
    assert!(total(largest) <= memory && memory < total(largest + 1), "{largest}");
}

#[test]
fn a_size_that_is_none_is_refused_with_an_example() {
    let mut command = singer();
    command.args(["plan", "--teacher", "vit_small_patch16_224", "--memory", "12XB"]);
    fail_with(&mut command, &["--memory 12XB", "12GB"]);
}
