//! What a step that is not finite leaves behind.

use singer::weights::NamedTensors;

use crate::support::{distill, fail_with, teacher};

/// Makes the tokens leaving a block of a teacher too large for the next one.
fn overflowing(teacher: &std::path::Path, block: usize) {
    let mut tensors = NamedTensors::read(teacher).unwrap();
    let name = format!("blocks.{block}.mlp.fc2.weight");
    let weight = tensors.tensors.remove(&name).unwrap();
    let shape = weight.shape().to_vec();
    let scaled: Vec<f32> = weight.iter::<f32>().map(|value| 3e38 * value.signum()).collect();
    tensors.tensors.insert(name, burn::tensor::TensorData::new(scaled, shape));
    tensors.write(teacher).unwrap();
}

#[test]
fn a_teacher_that_overflows_is_named_with_its_block_and_the_batch_is_kept() {
    let (folder, teacher) = teacher();
    overflowing(&teacher, 1);
    let out = folder.path().join("run");
    let file = "not-finite-step-1.safetensors";
    // The next block's LayerNorm squares them.
    let wanted = ["step 1: ", "block 2 of the teacher", file, "bf16 or f32"];
    fail_with(distill(&teacher, &out, 3).args(["--method", "fitnet"]), &wanted);
    let kept = NamedTensors::read(&out.join(file)).unwrap().tensors;
    assert_eq!(kept["images"].shape().to_vec(), [8, 3, 16, 16]);
    assert!(kept["images"].iter::<f32>().all(|value| value.is_finite()));
    assert_eq!(kept["labels"].shape().to_vec(), [8]);
}

#[test]
fn a_student_that_diverges_is_told_from_its_teacher() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let mut wild = distill(&teacher, &out, 30);
    wild.args(["--method", "fitnet", "--set", "schedule.name=constant", "--lr", "1e30"]);
    fail_with(
        &mut wild,
        &["the teacher is finite on this batch, with values up to", "lower the learning rate"],
    );
}
