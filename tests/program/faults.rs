use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use singer::data::render;

use crate::support::{distill, fail_with, metrics, run, singer, succeed, teacher, tiny};

#[test]
fn a_damaged_teacher_is_named_with_the_fix() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let bytes = fs::read(&teacher).unwrap();
    let file = folder.path().join("damaged.safetensors");

    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    fail_with(&mut distill(&file, &out, 2), &["damaged.safetensors", "its header says"]);
    fs::write(&file, b"not a tensor in sight").unwrap();
    fail_with(
        &mut distill(&file, &out, 2),
        &["damaged.safetensors", "not a readable file of weights"],
    );
    fs::write(&file, b"").unwrap();
    fail_with(&mut distill(&file, &out, 2), &["damaged.safetensors", "too short"]);
    fs::remove_file(&file).unwrap();
    fail_with(&mut distill(&file, &out, 2), &["damaged.safetensors", "No such file"]);
    assert!(!out.exists(), "a refused run leaves nothing behind");
}

#[test]
fn a_download_that_failed_and_a_pickle_that_calls_are_refused_where_a_model_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("vit.safetensors");
    fs::write(&page, "<!DOCTYPE html><title>404</title>").unwrap();
    let call = PathBuf::from("tests/golden/formats/call.pth");
    for (file, parts) in [
        (&page, ["vit.safetensors", "web page, perhaps of a failed download"]),
        (&call, ["call.pth", "posix.system, which is never made or called"]),
    ] {
        let out = folder.path().join("out");
        fail_with(&mut distill(file, &out, 2), &parts);
        fail_with(singer().arg("nullspace").arg(file), &parts);
        fail_with(singer().arg("inspect").arg("scenes:1").arg("--teacher").arg(file), &parts);
        assert!(!out.exists());
    }
}

#[test]
fn another_architecture_is_reported_by_tensor_names() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let mut command = distill(&teacher, &out, 2);
    command.args(["--set", "teacher.depth=4", "--set", "teacher.embed_dim=32"]);
    fail_with(&mut command, &["missing: blocks.3.", "mis-shaped", "vit_tiny_patch16_224"]);
    let mut command = distill(&teacher, &out, 2);
    command.args(["--set", "teacher.depth=2"]);
    fail_with(&mut command, &["unexpected: blocks.2."]);
    let mut command = distill(&teacher, &out, 2);
    command.args(["--teacher-arch", "vit_smal_patch16_224"]);
    fail_with(&mut command, &["did you mean `vit_small_patch16_224`"]);
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_written() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let cases: [(&[&str], &[&str]); 13] = [
        (&["--lr", "nan"], &["lr is NaN", "0 or more", "optimizer.lr"]),
        (&["--clip", "0"], &["clip is 0", "train.clip"]),
        (&["--set", "singer.rnak=3"], &["unknown key `rnak`", "did you mean `rank`"]),
        (&["--set", "sinegr.rank=3"], &["unknown key `sinegr`", "did you mean `singer`"]),
        (&["--losses", "papr"], &["did you mean `paper`"]),
        (&["--set", "train.batch=many"], &["invalid type"]),
        (&["--refine=published", "--rank", "17"], &["rank is 17", "width 16", "singer.rank"]),
        (&["--layers", "7"], &["layer 7", "0 to 2"]),
        (&["--quantile", "1.5"], &["quantile is 1.5", "singer.quantile"]),
        (&["--set", "student.img_size=18"], &["18x18", "patch_size 4", "16x16"]),
        (&["--set", "student.depth=1"], &["2 teacher layers", "the student has 1"]),
        (&["--device", "gpu:99"], &["device gpu:99", "singer devices"]),
        (&["--device", "toaster"], &["device toaster", "auto, cpu, gpu"]),
    ];
    for (args, parts) in cases {
        fail_with(distill(&teacher, &out, 2).args(args), parts);
        assert!(!out.exists(), "{args:?} left something behind");
    }
}

fn write_images(root: &Path, classes: usize, each: usize) {
    for index in 0..8 * each {
        let scene = render(3, index, 20);
        if scene.class < classes {
            let path = root.join(format!("c{}/{index}.jpg", scene.class));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            scene.image.save(&path).unwrap();
        }
    }
}

fn pretrain(data: &Path, out: &Path) -> Command {
    let mut command = singer();
    command
        .args(["pretrain", "--model", "vit_tiny_patch16_224", "--batch", "4", "--steps", "4"])
        .args(["--device", "cpu", "--data"])
        .arg(data)
        .arg("--out")
        .arg(out)
        .args(tiny("model"));
    command
}

#[test]
fn folders_without_images_or_classes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    fail_with(&mut pretrain(&data, &out), &["data", "No such file"]);
    fs::create_dir(&data).unwrap();
    fail_with(&mut pretrain(&data, &out), &["data", "holds no .jpg"]);
    write_images(&data, 1, 4);
    fail_with(&mut pretrain(&data, &out), &["1 class folder", "at least two"]);
    fs::write(folder.path().join("x.zip"), b"PK nonsense").unwrap();
    fail_with(&mut pretrain(&folder.path().join("x.zip"), &out), &["x.zip", "not a readable zip"]);
    assert!(!out.exists());
}

#[test]
fn unreadable_images_are_skipped_counted_and_fatal_above_a_share() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    write_images(&data, 2, 8);
    let one = data.join("c0/0.jpg");
    let bytes = fs::read(&one).unwrap();
    fs::write(&one, &bytes[..bytes.len() - 40]).unwrap();
    fs::write(data.join("c1/9.jpg"), b"not a picture").unwrap();

    let mut tolerant = pretrain(&data, &out);
    let outcome =
        succeed(tolerant.args(["--set", "data.max_unreadable=0.2", "--set", "train.log_every=1"]));
    assert!(outcome.stdout.contains("2 unreadable images skipped"), "{}", outcome.stdout);

    let strict = folder.path().join("strict");
    let mut command = pretrain(&data, &strict);
    fail_with(&mut command, &["unreadable", "data.max_unreadable", ".jpg"]);
}

#[test]
fn a_loss_that_is_not_finite_stops_with_step_and_term_and_keeps_the_last_checkpoint() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let mut command = distill(&teacher, &out, 30);
    command.args(["--set", "train.checkpoint_every=1", "--lr", "1e30"]);
    command.args(["--set", "schedule.name=milestones", "--set", "schedule.epochs=[]"]);
    fail_with(&mut command, &["step ", "loss is", "earlier checkpoint"]);
    let good = metrics(&out).len();
    assert!(out.join("checkpoint.safetensors").exists() && good >= 1);
    assert!(!out.join("student.safetensors").exists());
}

#[test]
fn a_run_is_not_overwritten() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(&mut distill(&teacher, &out, 2));
    let before = fs::read(out.join("student.safetensors")).unwrap();
    fail_with(&mut distill(&teacher, &out, 3), &["already holds a run", "--resume"]);
    assert!(before == fs::read(out.join("student.safetensors")).unwrap());
}

#[test]
fn wrong_arguments_exit_with_two() {
    let outcome = run(singer().args(["distil"]));
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("distill"), "suggests the command: {}", outcome.stderr);
}

#[test]
fn a_reader_that_closes_its_end_is_no_failure() {
    let commands: [&[&str]; 2] = [&["models"], &["devices", "--json"]];
    for command in commands {
        let mut child =
            singer().args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{command:?}: {} {stderr}", ended.status);
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[cfg(unix)]
#[test]
fn sigterm_ends_a_run_at_once_while_there_is_nothing_to_save() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // Drawing the weights of so large a model takes seconds.
    let mut child = singer()
        .args(["pretrain", "--model", "vit_large_patch16_224", "--data", "scenes:64"])
        .args(["--device", "cpu", "--batch", "4", "--steps", "1000", "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let process = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("SIGTERM is not obeyed");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!out.exists(), "training had begun");
}

#[test]
fn weights_that_the_last_step_made_infinite_are_not_written_as_a_student() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let wanted = ["step 1", "holds", "learning rate"];
    fail_with(distill(&teacher, &out, 1).args(["--lr", "1e300"]), &wanted);
    assert!(!out.join("student.safetensors").exists());
}

#[test]
fn a_benchmark_of_models_with_different_tokens_is_refused() {
    let mut command = singer();
    command.args(["bench", "--device", "cpu", "--teacher", "vit_small_patch14_reg4_dinov2"]);
    fail_with(command.args(["--student", "vit_tiny_patch16_224"]), &["register tokens"]);
}
