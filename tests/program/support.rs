use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Arguments that make a model of a few thousand parameters, by role.
pub(crate) fn tiny(role: &str) -> Vec<String> {
    ["img_size=16", "patch_size=4", "embed_dim=16", "depth=3", "num_heads=2"]
        .iter()
        .flat_map(|setting| ["--set".to_owned(), format!("{role}.{setting}")])
        .collect()
}

pub(crate) fn singer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_singer"))
}

pub(crate) struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Outcome {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

pub(crate) fn succeed(command: &mut Command) -> Outcome {
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0), "stdout: {}\nstderr: {}", outcome.stdout, outcome.stderr);
    outcome
}

/// Fails with one line on stderr that contains all of `parts`.
pub(crate) fn fail_with(command: &mut Command, parts: &[&str]) -> Outcome {
    let outcome = run(command);
    assert_eq!(outcome.code, Some(1), "stdout: {}\nstderr: {}", outcome.stdout, outcome.stderr);
    let lines: Vec<&str> =
        outcome.stderr.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
    assert_eq!(lines.len(), 1, "more than one line: {}", outcome.stderr);
    for part in parts {
        assert!(lines[0].contains(part), "{:?} lacks {part:?}", lines[0]);
    }
    assert!(!outcome.stderr.contains("panicked"));
    outcome
}

/// A teacher of two steps' training, in a folder of its own.
pub(crate) fn teacher() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("teacher");
    succeed(
        singer()
            .args(["pretrain", "--model", "vit_tiny_patch16_224", "--data", "scenes:32"])
            .args(["--batch", "8", "--steps", "2", "--device", "cpu", "--out"])
            .arg(&out)
            .args(tiny("model")),
    );
    let file = out.join("model.safetensors");
    (folder, file)
}

/// `singer distill` of a teacher into a tiny student.
pub(crate) fn distill(teacher: &Path, out: &Path, steps: usize) -> Command {
    let mut command = singer();
    command
        .args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:64"])
        .args(["--set", "singer.layers=[1]", "--set", "singer.rank=4", "--set", "device=cpu"])
        .args(["--set", "train.batch=8"])
        .args(["--set", "student.embed_dim=8", "--set", "student.depth=3"])
        .args(["--set", "student.num_heads=2", "--set", "train.threads=2", "--steps"])
        .arg(steps.to_string())
        .arg("--teacher")
        .arg(teacher)
        .arg("--out")
        .arg(out);
    command
}

pub(crate) fn metrics(out: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts a run and kills it once its folder `out` has the metrics of a step.
pub(crate) fn die_after_a_step(command: &mut Command, out: &Path) {
    let mut started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let steps = || std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    while steps().lines().count() == 0 && started.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = started.kill();
    started.wait().unwrap();
}

/// Methods, some with what refines the teacher after a slash.
pub(crate) const METHODS: [&str; 13] = [
    "singer",
    "singer/published",
    "singer/trained",
    "fitnet",
    "fitnet/closed",
    "cosine",
    "normalised",
    "relational",
    "proteus",
    "vitkd",
    "vitkd-reference",
    "kd",
    "none",
];

/// With a method, and what refines the teacher after a slash.
pub(crate) fn by(mut command: Command, method: &str) -> Command {
    let (method, refine) = method.split_once('/').map_or((method, None), |(a, b)| (a, Some(b)));
    command.args(["--method", method]).args(refine.map(|kind| format!("--refine={kind}")));
    command
}
