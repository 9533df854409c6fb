use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{distill, metrics, run, succeed, teacher};

const STEPS: usize = 40;

fn command(teacher: &Path, out: &Path) -> Command {
    let mut command = distill(teacher, out, STEPS);
    command.args(["--set", "train.checkpoint_every=3", "--set", "train.log_every=2", "--resume"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn files(out: &Path) -> [Vec<u8>; 2] {
    ["student.safetensors", "singer.safetensors"].map(|name| fs::read(out.join(name)).unwrap())
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_bits() {
    let (folder, teacher) = teacher();
    let whole = folder.path().join("whole");
    assert!(command(&teacher, &whole).status().unwrap().success());

    let broken = folder.path().join("broken");
    let mut kills = 0;
    loop {
        let mut child = command(&teacher, &broken).spawn().unwrap();
        // Moments from start-up to well into the run, and longer each time, so
        // that the run ends in the end.
        std::thread::sleep(Duration::from_millis(60 + 47 * kills));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        if ended.success() {
            break;
        }
        kills += 1;
        assert!(kills < 200, "the run does not get anywhere");
    }
    assert!(kills >= 3, "killed only {kills} times");
    assert!(files(&whole) == files(&broken), "after {kills} kills the weights differ");

    let losses = |out: &Path| -> Vec<(u64, f64)> {
        let pair =
            |r: &serde_json::Value| (r["step"].as_u64().unwrap(), r["loss"].as_f64().unwrap());
        metrics(out).iter().map(pair).collect()
    };
    assert_eq!(losses(&whole), losses(&broken));
    assert_eq!(losses(&whole).len(), STEPS);
    let left: Vec<_> = fs::read_dir(&broken)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), 9, "{left:?}");
}

#[test]
fn a_run_may_go_on_with_other_micro_batches_and_says_so() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(&mut distill(&teacher, &out, 2));
    let said = "train.accumulate was 1, now 2";
    let resumed = run(distill(&teacher, &out, 2).args(["--resume", "--accumulate", "2"]));
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(resumed.stderr.contains(said), "{}", resumed.stderr);
    let recomputed = ["--resume", "--accumulate", "2", "--recompute"];
    let again = run(distill(&teacher, &out, 2).args(recomputed));
    assert!(again.stderr.contains("train.recompute was false, now true"), "{}", again.stderr);
    let again = run(distill(&teacher, &out, 2).args(recomputed));
    assert!(!again.stderr.contains("was"), "{}", again.stderr);
    let many = run(distill(&teacher, &out, 2).args(["--resume", "--accumulate", "1000"]));
    assert_eq!(many.code, Some(1));
    assert!(many.stderr.contains("set train.accumulate or --accumulate"), "{}", many.stderr);
}

#[test]
fn a_run_in_half_precision_scales_its_loss_and_may_go_on_in_single_precision() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    succeed(distill(&teacher, &out, 4).args(["--precision", "f16"]));
    let scales: Vec<f64> = metrics(&out).iter().filter_map(|r| r["loss_scale"].as_f64()).collect();
    assert_eq!(scales.len(), 4);
    assert!(scales.iter().all(|scale| *scale <= 65536.0 && *scale > 1.0), "{scales:?}");
    let resumed = run(distill(&teacher, &out, 4).arg("--resume"));
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("precision was \"f16\", now \"f32\""), "{}", resumed.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let (folder, teacher) = teacher();
    let out = folder.path().join("run");
    let mut long = distill(&teacher, &out, 100_000);
    let child = long.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(text.contains("--resume"), "{text}");
    let steps = metrics(&out).len();

    let other = run(distill(&teacher, &out, 100_000).args(["--resume", "--lr", "0.5"]));
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("optimizer.lr"), "{}", other.stderr);
    assert_eq!(metrics(&out).len(), steps, "a refused run changes nothing");
}
