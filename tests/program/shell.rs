//! What a shell meets: completions, manual pages, progress, widths.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{fail_with, run, singer, succeed};

/// The names of all commands, from the program's own help.
fn commands() -> Vec<String> {
    let help = succeed(singer().arg("help")).stdout;
    let listed = help.split("Commands:\n").nth(1).expect("a list of commands");
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // A description that goes on in the next line is indented further.
    let starts = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = starts.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn bash_reads_the_completions_and_completes_every_command() {
    let script = succeed(singer().args(["completions", "bash"])).stdout;
    let typed = "\nCOMP_WORDS=(singer ''); COMP_CWORD=1; _singer singer '' singer; echo \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash");
    bash.stdin.take().unwrap().write_all((script + typed).as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success());
    let offered = String::from_utf8(output.stdout).unwrap();
    let offered: Vec<&str> = offered.split_whitespace().collect();
    for command in commands() {
        assert!(offered.contains(&command.as_str()), "{command} is not among {offered:?}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("man");
    succeed(singer().arg("man").arg(&place));
    for command in commands() {
        let page = fs::read_to_string(place.join(format!("singer-{command}.1"))).unwrap();
        assert!(page.contains(".SH DESCRIPTION"), "{page}");
    }
    // A file stands where the folder should.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    fail_with(singer().arg("man").arg(&file), &["file"]);
}

#[test]
fn a_quiet_run_prints_its_result_and_no_progress() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |name: &str, quiet: bool| {
        let mut command = singer();
        command
            .args(["fit", "assets/demo-teacher.safetensors", "--kind", "published", "--rank", "4"])
            .args(["--data", "scenes:4", "--steps", "10", "--device", "cpu", "--out"])
            .arg(folder.path().join(name));
        if quiet {
            command.arg("--quiet");
        }
        succeed(&mut command)
    };
    let [loud, quiet] = [fit("a", false), fit("b", true)];
    assert!(loud.stdout.contains("10/10"), "{}", loud.stdout);
    assert!(!quiet.stdout.contains("/10"), "{}", quiet.stdout);
    assert!(quiet.stdout.contains("wrote"), "{}", quiet.stdout);
    let both = run(singer().args(["models", "--quiet", "--verbose"]));
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_verbose_run_shows_what_the_libraries_log() {
    let shown = |flag: &[&str]| succeed(singer().args(["devices"]).args(flag)).stderr;
    assert!(shown(&["-vv"]).contains("wgpu"), "nothing of wgpu's log");
    assert!(!shown(&[]).contains("wgpu"));
}

#[test]
fn models_fit_a_terminal_of_100_columns_and_can_be_chosen_by_size() {
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    let all = succeed(singer().arg("models")).stdout;
    assert!(widest(&all) <= 100, "{} columns", widest(&all));
    let small = succeed(singer().args(["models", "dino", "--size", "small"])).stdout;
    let names: Vec<&str> = small.lines().filter(|line| line.starts_with("   vit_")).collect();
    assert!(names.len() > 3, "{small}");
    assert!(names.iter().all(|line| line.contains("vit_small")), "{small}");
    let one = succeed(singer().args(["models", "vit_small_patch14_reg4_dinov2"])).stdout;
    assert!(one.contains("0.485 0.456 0.406") && one.contains("1374"), "{one}");
    fail_with(singer().args(["models", "dino", "--size", "enormous"]), &["enormous", "dino"]);
}
