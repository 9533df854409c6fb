use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use singer::weights::WeightsFile;

use crate::support::{fail_with, singer, succeed};

fn published(case: &str) -> PathBuf {
    Path::new("tests/golden/naming").join(case)
}

#[test]
fn every_command_takes_checkpoints_of_any_naming_without_an_architecture() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["hf_dinov2_reg", "hf_clip", "orig_dinov2_chunked/weights.pth", "hf_vit_sharded"] {
        let outcome =
            succeed(singer().arg("nullspace").arg(published(case)).args(["--rank", "4", "--json"]));
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(report.as_array().unwrap().len(), 2, "{case}: {report}");
    }
    for case in ["hf_siglip", "hf_dinov3", "orig_unic/weights.pth"] {
        succeed(
            singer()
                .arg("evaluate")
                .arg(published(case))
                .args(["--train", "scenes:8", "--test", "scenes:4", "--device", "cpu", "--json"]),
        );
        let out = folder.path().join(case.replace('/', "_"));
        succeed(
            singer()
                .args(["inspect", "scenes:1", "--device", "cpu", "--teacher"])
                .arg(published(case))
                .arg("--out")
                .arg(out),
        );
    }
    let planted = folder.path().join("planted.safetensors");
    succeed(
        singer()
            .arg("plant")
            .arg(published("orig_open_clip/open_clip_model.safetensors"))
            .args(["--data", "scenes:8", "--block", "0", "--rank", "4", "--images", "8", "--out"])
            .arg(&planted),
    );
    // The images' statistics go with the planted file.
    let seen = singer::weights::recognise(&planted).unwrap().mean_std;
    assert_eq!(seen, ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]));
}

#[test]
fn a_student_is_distilled_from_a_teacher_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    succeed(
        singer()
            .args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:16"])
            .args(["--set", "student.embed_dim=8", "--set", "student.depth=2"])
            .args(["--set", "student.num_heads=2", "--batch", "8", "--steps", "2"])
            .args(["--layers", "0", "--rank", "4", "--device", "cpu", "--teacher"])
            .arg(published("hf_dinov2"))
            .arg("--out")
            .arg(&out),
    );
    let student = singer::weights::recognise(&out.join("student.safetensors")).unwrap();
    assert_eq!(student.config.img_size, [12, 12]);
    assert_eq!(student.mean_std.0, [0.485, 0.456, 0.406]);
    succeed(
        singer()
            .args(["inspect", "scenes:1", "--device", "cpu", "--run"])
            .arg(&out)
            .arg("--out")
            .arg(folder.path().join("look")),
    );
}

#[test]
fn what_is_assumed_is_said_on_stderr_and_a_name_overrules_it() {
    let case = published("hf_deit_teacher");
    let outcome = succeed(singer().arg("nullspace").arg(&case).args(["--rank", "4", "--json"]));
    assert!(outcome.stderr.contains("left out its two heads"), "{}", outcome.stderr);
    serde_json::from_str::<Value>(&outcome.stdout).unwrap();
    fail_with(
        singer().arg("nullspace").arg(&case).args([
            "--rank",
            "4",
            "--arch",
            "vit_tiny_patch16_224",
        ]),
        &["the tensors do not fit vit_tiny_patch16_224", "mis-shaped"],
    );
}

/// A published model under two keys of one file, beside its config.
fn teacher_and_student(folder: &Path) -> PathBuf {
    let case = published("hf_dinov2");
    std::fs::copy(case.join("config.json"), folder.join("config.json")).unwrap();
    let file = WeightsFile::open(&case).unwrap();
    let tensors: Vec<_> =
        file.names().map(|name| (name.to_owned(), file.read(name).unwrap().unwrap())).collect();
    let views = ["teacher.backbone", "student"].into_iter().flat_map(|key| {
        tensors.iter().map(move |(name, data)| {
            let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
            (format!("{key}.{name}"), view.unwrap())
        })
    });
    let path = folder.join("checkpoint.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn what_was_taken_of_a_training_checkpoint_is_said_and_weights_key_takes_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = teacher_and_student(folder.path());
    let images = ["--data", "scenes:8", "--images", "8"];
    let of_scenes = ["--train", "scenes:4", "--test", "scenes:4", "--device", "cpu"];
    let out = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let commands: [(&str, Vec<String>); 5] = [
        ("nullspace", vec!["--rank".into(), "4".into()]),
        ("evaluate", of_scenes.map(str::to_owned).into()),
        (
            "plant",
            [images.map(str::to_owned).to_vec(), vec!["--block".into(), "0".into()]].concat(),
        ),
        ("export", vec!["--to".into(), "hf".into()]),
        ("fit", ["--data", "scenes:8", "--limit", "8"].map(str::to_owned).into()),
    ];
    for (command, more) in commands {
        for (key, said) in [
            (
                None,
                "took the tensors under `teacher.backbone`, the teacher; another weights key takes others: student",
            ),
            (Some("student."), "took the tensors under `student`"),
        ] {
            let mut line = singer();
            line.arg(command).arg(&file).args(&more);
            if ["plant", "export", "fit"].contains(&command) {
                line.args(["--out", &out(&format!("{command}{}", key.unwrap_or_default()))]);
            }
            line.args(key.map(|key| ["--weights-key", key]).into_iter().flatten());
            let stderr = succeed(&mut line).stderr;
            assert!(stderr.contains(said), "{command}: {stderr}");
            assert_eq!(stderr.matches("took the tensors").count(), 1, "{command}: {stderr}");
        }
        let mut line = singer();
        line.arg(command).arg(&file).args(&more).args(["--weights-key", "ema"]);
        if ["plant", "export", "fit"].contains(&command) {
            line.args(["--out", &out("none")]);
        }
        fail_with(
            &mut line,
            &["no tensor is under the key `ema`", "teacher.backbone, student", "--weights-key KEY"],
        );
    }
}

#[test]
fn a_run_names_the_model_of_its_teachers_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = teacher_and_student(folder.path());
    let out = folder.path().join("run");
    let distill = |key: &str| {
        let mut line = singer();
        line.args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:16"]);
        line.args(["--set", "student.embed_dim=8", "--set", "student.depth=2"]);
        line.args(["--set", "student.num_heads=2", "--batch", "8", "--steps", "2"]);
        line.args(["--layers", "0", "--rank", "4", "--device", "cpu"]);
        line.arg("--teacher").arg(&file).arg("--out").arg(&out);
        line.args(["--weights-key", key]);
        line
    };
    let outcome = succeed(&mut distill("student"));
    assert!(outcome.stderr.contains("under `student`"), "{}", outcome.stderr);
    let record: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["config"]["teacher"]["weights_key"], "student");
    let outcome = succeed(
        singer()
            .args(["inspect", "scenes:1", "--device", "cpu", "--run"])
            .arg(&out)
            .arg("--out")
            .arg(folder.path().join("look")),
    );
    assert!(outcome.stderr.contains("under `student`"), "{}", outcome.stderr);
    let other = distill("teacher").arg("--resume").output().unwrap();
    let stderr = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && stderr.contains("teacher.weights_key"), "{stderr}");
}

#[test]
fn a_file_of_no_known_naming_and_a_torchscript_archive_are_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join("strange.safetensors");
    let header = br#"{"lm_head.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 4]);
    std::fs::write(&strange, bytes).unwrap();
    for command in ["nullspace", "evaluate"] {
        let mut command_line = singer();
        command_line.arg(command).arg(&strange);
        if command == "evaluate" {
            command_line.args(["--train", "scenes:4", "--test", "scenes:4"]);
        }
        fail_with(&mut command_line, &["lm_head.weight", "no Vision Transformer"]);
    }
    let script = folder.path().join("ViT-B-32.pt");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&script).unwrap());
    let compressed = zip::write::SimpleFileOptions::default();
    let stored = compressed.compression_method(zip::CompressionMethod::Stored);
    for (name, options) in [
        ("ViT-B-32/data.pkl", stored),
        ("ViT-B-32/code/__torch__/model.py", compressed),
        ("ViT-B-32/constants.pkl", stored),
    ] {
        archive.start_file(name, options).unwrap();
    }
    archive.finish().unwrap();
    fail_with(
        singer().arg("nullspace").arg(&script),
        &["TorchScript archive", "torch.jit.load", "state_dict()"],
    );
}
