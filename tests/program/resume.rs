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
    assert_eq!(left.len(), 5, "{left:?}");
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
