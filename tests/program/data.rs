//! What people give to `--data`: folders without classes, some files that cannot be read.

use std::fs;
use std::path::Path;
use std::process::Command;

use singer::data::render;

use crate::support::{fail_with, singer, succeed, teacher, tiny};

/// `count` images below a folder, at the places that `name` gives.
fn images(root: &Path, count: usize, name: impl Fn(usize) -> String) {
    for index in 0..count {
        let path = root.join(name(index));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        render(5, index, 20).image.save(path).unwrap();
    }
}

/// Cuts a file off in its middle.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn student(teacher: &Path, data: &Path, out: &Path) -> Command {
    let mut command = singer();
    command.args(["distill", "--student", "vit_tiny_patch16_224", "--steps", "1", "--rank", "4"]);
    command.args(["--device", "cpu", "--batch", "4", "--teacher"]).arg(teacher);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.args(["--set", "student.embed_dim=8", "--set", "student.depth=3"]);
    command.args(["--set", "student.num_heads=2"]);
    command
}

fn fit(teacher: &Path, data: &Path, out: &Path) -> Command {
    let mut command = singer();
    command.arg("fit").arg(teacher).arg("--data").arg(data).arg("--out").arg(out);
    command.args(["--kind", "published", "--steps", "2", "--rank", "4", "--device", "cpu"]);
    command
}

fn plant(teacher: &Path, data: &Path, out: &Path) -> Command {
    let mut command = singer();
    command.arg("plant").arg(teacher).arg("--data").arg(data).arg("--out").arg(out);
    command.args(["--block", "1", "--rank", "4"]);
    command
}

fn recover(teacher: &Path, data: &Path, out: &Path) -> Command {
    let mut command = singer();
    command.arg("recover").arg(teacher).arg("--data").arg(data).arg("--out").arg(out);
    command.args(["--block", "1", "--rank", "4", "--fit-steps", "2", "--device", "cpu"]);
    command.args(["--placements", "inside", "--strengths", "6"]);
    command
}

fn train(command: &str, data: &Path, out: &Path) -> Command {
    let mut run = singer();
    run.args([command, "--model", "vit_tiny_patch16_224", "--batch", "12", "--steps", "2"]);
    run.args(["--device", "cpu", "--data"]).arg(data).arg("--out").arg(out).args(tiny("model"));
    run
}

fn classify(teacher: &Path, train: &Path, test: &Path) -> Command {
    let mut command = singer();
    command.args(["probe", "classify"]).arg(teacher).arg("--train").arg(train).arg("--test");
    command.arg(test).args(["--no-cache", "--epochs", "1", "--lr", "0.1", "--device", "cpu"]);
    command
}

#[test]
fn images_without_classes_do_wherever_no_label_is_used() {
    let (folder, teacher) = teacher();
    let at = |name: &str| folder.path().join(name);
    images(&at("flat"), 24, |index| format!("{index}.jpg"));
    images(&at("one"), 24, |index| format!("cat/{index}.png"));
    images(&at("nested"), 24, |index| format!("{}/{}/{index}.png", index % 3, index % 2));
    fs::write(at("nested/above.jpg"), fs::read(at("flat/0.jpg")).unwrap()).unwrap();
    for name in ["flat", "one", "nested"] {
        let (data, out) = (at(name), |end: &str| at(&format!("{name}-{end}")));
        succeed(&mut student(&teacher, &data, &out("run")));
        succeed(&mut fit(&teacher, &data, &out("fit.safetensors")));
        succeed(&mut plant(&teacher, &data, &out("plant.safetensors")));
        succeed(&mut recover(&teacher, &data, &out("recover")));
        let mut inspect = singer();
        inspect.arg("inspect").arg(&data).arg("--teacher").arg(&teacher).arg("--out");
        succeed(inspect.arg(out("inspect.html")).args(["--device", "cpu", "--limit", "2"]));
    }

    let said = ["at least two are needed", "classes are not needed to distil"];
    for name in ["flat", "one"] {
        let data = at(name);
        fail_with(&mut train("pretrain", &data, &at("x")), &said);
        fail_with(&mut classify(&teacher, &data, &data), &said);
        let mut evaluate = singer();
        evaluate.arg("evaluate").arg(&teacher).arg("--train").arg(&data).arg("--test").arg(&data);
        fail_with(evaluate.args(["--device", "cpu"]), &said);
        for labels in [["--label-weight", "0.5"], ["--method", "none"]] {
            fail_with(student(&teacher, &data, &at("x")).args(labels), &said);
        }
    }
    assert!(!at("x").exists());
}

#[test]
fn one_unreadable_image_in_twenty_four_is_passed_over_and_said_by_every_command() {
    let (folder, teacher) = teacher();
    let at = |name: &str| folder.path().join(name);
    images(&at("set"), 24, |index| format!("{}/{index}.jpg", index % 2));
    cut(&at("set/0/4.jpg"));
    let said = "1 of 24 images was unreadable and passed over; the first: ";
    let reports = |command: &mut Command| {
        let outcome = succeed(command);
        assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("4.jpg: unreadable image"), "{}", outcome.stdout);
    };
    let data = at("set");
    reports(&mut fit(&teacher, &data, &at("fit.safetensors")));
    reports(&mut plant(&teacher, &data, &at("plant.safetensors")));
    reports(&mut recover(&teacher, &data, &at("recover")));
    reports(&mut classify(&teacher, &data, &data));
    reports(&mut train("pretrain", &data, &at("run")));

    cut(&at("set/1/5.jpg"));
    let said = ["unreadable image", "2 of 24 images are unreadable", "repair or remove them"];
    fail_with(&mut fit(&teacher, &data, &at("fit.safetensors")), &said);
    fail_with(&mut plant(&teacher, &data, &at("plant.safetensors")), &said);
    fail_with(&mut recover(&teacher, &data, &at("recover")), &said);
}

#[test]
fn files_that_cannot_be_read_are_counted_in_one_line() {
    let (folder, teacher) = teacher();
    let data = folder.path().join("set");
    images(&data, 24, |index| format!("{index}.jpg"));
    for name in ["a.heic", "b.heic", "c.avif", "notes.txt", "._a.jpg"] {
        fs::write(data.join(name), "no image").unwrap();
    }
    let outcome = succeed(&mut fit(&teacher, &data, &folder.path().join("fit.safetensors")));
    let lines: Vec<&str> =
        outcome.stderr.lines().filter(|line| line.contains("left out")).collect();
    assert_eq!(lines, ["singer: 3 file(s) left out: 2 .heic, 1 .avif"]);
    assert!(!outcome.stdout.contains("unreadable"), "{}", outcome.stdout);
}
