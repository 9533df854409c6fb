//! What burn keeps from one process to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{singer, succeed};

/// One step of fitting a small teacher's adapters on software Vulkan, in a folder of its own
/// with `settings` for burn; autotune writes what it chooses to `log` there.
fn fit(folder: &Path, cache: &Path, settings: &str) -> Command {
    fs::create_dir_all(folder).unwrap();
    let log = "[cubecl.autotune.logger]\nlevel = \"minimal\"\nfile = \"log\"\n";
    fs::write(folder.join("burn.toml"), format!("{log}{settings}")).unwrap();
    let mut command = singer();
    command
        .current_dir(folder)
        .arg("fit")
        .arg(std::path::absolute("assets/demo-teacher.safetensors").unwrap())
        .args(["--kind", "published", "--data", "scenes:2", "--steps", "1", "--rank", "4"])
        .args(["--device", "software"])
        .env("XDG_CACHE_HOME", cache);
    command
}

/// Shapes that were tuned anew.
fn tuned(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
    text.lines().filter(|line| line.contains("Fastest result")).count()
}

fn databases(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "db")).collect()
}

#[test]
fn two_processes_share_a_cache_and_a_third_tunes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let places = ["a", "b"].map(|name| folder.path().join(name));
    let started = places.each_ref().map(|place| {
        let mut command = fit(place, &cache, "");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for process in started {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(places.iter().all(|place| tuned(place) > 0), "nothing was tuned at first");
    assert_eq!(databases(&cache.join("singer").join("kernels")).len(), 1);

    let third = folder.path().join("c");
    succeed(&mut fit(&third, &cache, ""));
    assert_eq!(tuned(&third), 0);
}

#[test]
fn a_cache_that_cannot_be_written_stops_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    succeed(&mut fit(&folder.path().join("run"), &file, ""));
}

#[test]
fn the_users_own_settings_of_burn_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, own) = (folder.path().join("cache"), folder.path().join("own"));
    let settings = format!("[cubecl.environment]\nname = \"mine\"\npath.directory = {own:?}\n");
    succeed(&mut fit(&folder.path().join("run"), &cache, &settings));
    assert_eq!(databases(&own), [own.join("mine.db")]);
    assert!(databases(&cache.join("singer").join("kernels")).is_empty());
}
