//! Checkpoints from a server on this machine that answers as the hub does.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, Server};

use crate::support::{fail_with, singer, succeed, teacher};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is served and how it misbehaves.
#[derive(Default)]
struct Hub {
    /// Path below the endpoint, content, and the checksum that is claimed of it.
    files: Vec<(String, Vec<u8>, String)>,
    /// Models below this path are gated.
    gated: Option<&'static str>,
    /// Every `Range` and `Authorization` that was sent.
    ranges: Mutex<Vec<String>>,
    tokens: Mutex<Vec<String>>,
}

impl Hub {
    fn with(mut self, path: &str, content: &[u8]) -> Self {
        let sum: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
        self.files.push((path.to_owned(), content.to_owned(), sum));
        self
    }

    /// Serves until the process ends; gives the endpoint.
    fn serve(self) -> (String, Arc<Self>) {
        let server = Server::http("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", server.server_addr());
        let hub = Arc::new(self);
        let shared = hub.clone();
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                shared.answer(request);
            }
        });
        (endpoint, hub)
    }

    /// What `/api/models/OWNER/NAME/revision/REVISION` answers.
    fn listing(&self, listed: &str) -> Option<String> {
        let (model, revision) = listed.split_once("/revision/")?;
        let start = path(model, revision, "");
        let names = self.files.iter().filter_map(|(path, ..)| path.strip_prefix(&start));
        let siblings: Vec<Value> = names.map(|name| json!({ "rfilename": name })).collect();
        (!siblings.is_empty()).then(|| json!({ "siblings": siblings }).to_string())
    }

    fn answer(&self, request: Request) {
        let header = |name: &'static str| {
            let found = request.headers().iter().find(|header| header.field.equiv(name));
            found.map(|header| header.value.as_str().to_owned())
        };
        self.tokens.lock().unwrap().extend(header("Authorization"));
        let url = request.url().to_owned();
        if self.gated.is_some_and(|gated| url.starts_with(gated))
            && header("Authorization").is_none()
        {
            let _ = request.respond(Response::empty(401));
            return;
        }
        if let Some(listed) = url.strip_prefix("/api/models/") {
            let _ = match self.listing(listed) {
                Some(text) => request.respond(Response::from_string(text)),
                None => request.respond(Response::empty(404)),
            };
            return;
        }
        let Some((_, content, sum)) = self.files.iter().find(|(path, ..)| *path == url) else {
            let _ = request.respond(Response::empty(404));
            return;
        };
        let range = header("Range").unwrap_or_default();
        self.ranges.lock().unwrap().push(range.clone());
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
        let start: usize = start.parse().unwrap_or(0);
        let end = end.parse().map_or(content.len(), |end: usize| end + 1);
        let part = &content[start.min(content.len())..end.min(content.len())];
        let say = |name: &str, value: &str| Header::from_bytes(name, value).unwrap();
        let span = format!("bytes {start}-{}/{}", end.saturating_sub(1), content.len());
        let response = Response::from_data(part.to_vec())
            .with_status_code(206)
            .with_header(say("ETag", &format!("\"{sum}\"")))
            .with_header(say("X-Repo-Commit", COMMIT))
            .with_header(say("Content-Range", &span));
        let _ = request.respond(response);
    }
}

/// What happens to a connection.
#[derive(Clone, Copy)]
enum Fault {
    Breaks,
    /// It stays open and nothing comes any more.
    Stalls,
}

/// A way to the endpoint that fails once, after so many bytes of one connection.
fn failing_once(endpoint: &str, after: usize, fault: Fault) -> String {
    let target = endpoint.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let way = format!("http://{}", listener.local_addr().unwrap());
    let whole = Arc::new(AtomicBool::new(true));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&target).unwrap();
            let (mut up_from, mut up_to) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
            let (whole, mut from, mut to) = (whole.clone(), server, client);
            std::thread::spawn(move || {
                let (mut buffer, mut passed) = (vec![0; 1024], 0);
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                    passed += count;
                    if passed > after && whole.swap(false, Ordering::SeqCst) {
                        match fault {
                            Fault::Breaks => break,
                            Fault::Stalls => loop {
                                std::thread::park();
                            },
                        }
                    }
                }
                let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
            });
        }
    });
    way
}

/// A small teacher's file.
fn weights() -> (TempDir, Vec<u8>) {
    let (folder, path) = teacher();
    let bytes = fs::read(&path).unwrap();
    (folder, bytes)
}

fn path(model: &str, revision: &str, file: &str) -> String {
    format!("/{model}/resolve/{revision}/{file}")
}

fn nullspace(checkpoint: &str, home: &Path, endpoint: &str) -> Command {
    let mut command = singer();
    command.args(["nullspace", checkpoint, "--rank", "4", "--json"]);
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).env_remove("HF_TOKEN");
    command.env_remove("HF_HUB_OFFLINE");
    command
}

/// The files of the cache that are no links, and the links.
fn cached(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn a_model_of_the_hub_is_fetched_once_and_then_taken_from_the_cache() {
    let (folder, bytes) = weights();
    let home = folder.path().join("hub home");
    let (endpoint, hub) =
        Hub::default().with(&path("who/what", "main", "model.safetensors"), &bytes).serve();
    let run = || succeed(&mut nullspace("hf-hub:who/what", &home, &endpoint)).stdout;
    let first: Value = serde_json::from_str(&run()).unwrap();
    let local = folder.path().join("local.safetensors");
    fs::write(&local, &bytes).unwrap();
    let wanted = succeed(&mut nullspace(&local.to_string_lossy(), &home, &endpoint)).stdout;
    assert_eq!(first, serde_json::from_str::<Value>(&wanted).unwrap());

    let asked = hub.ranges.lock().unwrap().len();
    run();
    assert_eq!(hub.ranges.lock().unwrap().len(), asked, "the weights were fetched again");
    // And with the hub out of reach.
    let mut offline = nullspace("hf-hub:who/what", &home, "http://127.0.0.1:9");
    succeed(offline.env("HF_HUB_OFFLINE", "1"));
}

#[test]
fn a_revision_is_asked_for_by_its_name() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let (endpoint, _) =
        Hub::default().with(&path("who/what", "v2", "model.safetensors"), &bytes).serve();
    succeed(&mut nullspace("hf-hub:who/what@v2", &home, &endpoint));
    fail_with(
        &mut nullspace("hf-hub:who/what", &home, &endpoint),
        &["who/what@main", "no such model or revision"],
    );
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_broke_off() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let (endpoint, hub) =
        Hub::default().with(&path("a/b", "main", "model.safetensors"), &bytes).serve();
    let fragile = failing_once(&endpoint, bytes.len() / 2, Fault::Breaks);
    succeed(&mut nullspace("hf-hub:a/b", &home, &fragile));
    taken_up(&hub, &home, &bytes);
}

#[test]
fn a_stalled_connection_is_given_up_and_taken_up_where_it_stood() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let (endpoint, hub) =
        Hub::default().with(&path("a/b", "main", "model.safetensors"), &bytes).serve();
    let fragile = failing_once(&endpoint, bytes.len() / 2, Fault::Stalls);
    let mut command = nullspace("hf-hub:a/b", &home, &fragile);
    succeed(command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1"));
    taken_up(&hub, &home, &bytes);
}

#[test]
fn a_hub_that_never_answers_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut command = nullspace("hf-hub:a/b", home.path(), &endpoint);
    fail_with(
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1"),
        &["a/b@main", "did not answer for 1 s", "HF_HUB_DOWNLOAD_TIMEOUT"],
    );
}

/// A transfer went on in the middle of the file, which is whole now.
fn taken_up(hub: &Hub, home: &Path, bytes: &[u8]) {
    let ranges = hub.ranges.lock().unwrap().clone();
    let resumed = ranges.iter().any(|range| {
        let start = range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>();
        start.is_ok_and(|start| start > 0 && start < bytes.len())
    });
    assert!(resumed, "the transfer began anew: {ranges:?}");
    let blob = cached(home).into_iter().find(|path| path.ends_with("model.safetensors")).unwrap();
    assert_eq!(fs::read(blob).unwrap(), bytes);
}

#[test]
fn a_wrong_checksum_is_an_error_that_leaves_nothing_in_the_cache() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let mut hub = Hub::default().with(&path("a/b", "main", "model.safetensors"), &bytes);
    hub.files[0].2 = "ab".repeat(32);
    let (endpoint, _) = hub.serve();
    for _ in 0..2 {
        fail_with(
            &mut nullspace("hf-hub:a/b", &home, &endpoint),
            &["a/b@main", "the download is damaged and was removed"],
        );
    }
    let left: Vec<PathBuf> = cached(&home)
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|file| file.len() as usize == bytes.len()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_gated_model_says_what_to_do_and_opens_with_a_token() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let hub = Hub { gated: Some("/meta/secret"), ..Hub::default() };
    let (endpoint, hub) =
        hub.with(&path("meta/secret", "main", "model.safetensors"), &bytes).serve();
    fail_with(
        &mut nullspace("hf-hub:meta/secret", &home, &endpoint),
        &["meta/secret@main", "gated or private", "accept its terms", "HF_TOKEN"],
    );
    succeed(nullspace("hf-hub:meta/secret", &home, &endpoint).env("HF_TOKEN", "hf_abc"));
    assert!(hub.tokens.lock().unwrap().iter().all(|token| token == "Bearer hf_abc"));
}

#[test]
fn names_that_are_no_models_and_hubs_out_of_reach_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    for name in [
        "hf-hub:",
        "hf-hub:one",
        "hf-hub:a/b/c",
        "hf-hub:a/b/../c.bin",
        "hf-hub:../x",
        "hf-hub:a/b@",
        "hf-hub:a/b c",
    ] {
        fail_with(
            &mut nullspace(name, home, "http://127.0.0.1:9"),
            &["names no model of the hub", "hf-hub:OWNER/NAME"],
        );
    }
    fail_with(
        &mut nullspace("hf-hub:a/b", home, "http://127.0.0.1:9"),
        &["a/b@main", "HF_ENDPOINT", "HF_HUB_OFFLINE=1"],
    );
    fail_with(
        nullspace("hf-hub:a/b", home, "http://127.0.0.1:9").env("HF_HUB_OFFLINE", "1"),
        &["a/b@main", "not in the cache"],
    );
}

#[test]
fn a_timm_name_with_a_tag_is_fetched_and_its_architecture_read() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let name = "vit_tiny_patch16_224.some_tag";
    // A file as timm publishes it: no word of its shape.
    let file = folder.path().join("model.safetensors");
    let device = burn::tensor::Device::flex();
    let preset = singer::vit::preset("vit_tiny_patch16_224").unwrap();
    let config = singer::vit::VitConfig { num_classes: 7, ..preset.config() };
    let model = singer::vit::init_weights(config.build(&device).unwrap(), 5);
    singer::weights::save(&model, "vit_tiny_patch16_224", &config, &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    let header = serde_json::to_vec(&header).unwrap();
    let mut plain = (header.len() as u64).to_le_bytes().to_vec();
    plain.extend(header);
    plain.extend(&bytes[8 + length..]);

    let model = format!("timm/{name}");
    let stated = json!({ "architecture": "vit_tiny_patch16_224", "num_classes": 7 }).to_string();
    let (endpoint, _) = Hub::default()
        .with(&path(&model, "main", "model.safetensors"), &plain)
        .with(&path(&model, "main", "config.json"), stated.as_bytes())
        .serve();
    for checkpoint in [name.to_owned(), format!("hf-hub:{model}")] {
        let mut command = singer();
        command.args([
            "inspect",
            "scenes:1",
            "--layers",
            "1",
            "--teacher",
            &checkpoint,
            "--size",
            "32",
        ]);
        command.args(["--device", "cpu", "--out"]).arg(folder.path().join("out"));
        command.env("HF_HOME", &home).env("HF_ENDPOINT", &endpoint).env_remove("HF_TOKEN");
        command.env_remove("HF_HUB_OFFLINE");
        succeed(&mut command);
    }
}

/// A model of transformers in two files, with its configs.
fn sharded(model: &str) -> Hub {
    let preprocessing = json!({ "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6] });
    let mut hub = Hub::default().with(
        &path(model, "main", "preprocessor_config.json"),
        preprocessing.to_string().as_bytes(),
    );
    for file in fs::read_dir("tests/golden/naming/hf_vit_sharded").unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        if name != "io.safetensors" {
            hub = hub.with(&path(model, "main", name), &fs::read(&file).unwrap());
        }
    }
    hub
}

#[test]
fn a_model_in_several_files_is_fetched_whole_and_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let (endpoint, hub) = sharded("who/big").serve();
    let run = |endpoint: &str| nullspace("hf-hub:who/big", &home, endpoint);
    let fetched: Value = serde_json::from_str(&succeed(&mut run(&endpoint)).stdout).unwrap();
    let mut local = nullspace("tests/golden/naming/hf_vit_sharded", &home, &endpoint);
    let local: Value = serde_json::from_str(&succeed(&mut local).stdout).unwrap();
    assert_eq!(fetched, local);
    for name in ["config.json", "preprocessor_config.json"] {
        assert!(cached(&home).iter().any(|path| path.ends_with(name)), "{name}");
    }
    let asked = hub.ranges.lock().unwrap().len();
    succeed(&mut run(&endpoint));
    assert_eq!(hub.ranges.lock().unwrap().len(), asked, "files were fetched again");
    // Offline it must be whole.
    let mut offline = run("http://127.0.0.1:9");
    offline.env("HF_HUB_OFFLINE", "1");
    succeed(&mut offline);
    let shard = cached(&home).into_iter().find(|path| path.to_string_lossy().contains("00002-of"));
    fs::remove_file(shard.unwrap()).unwrap();
    fail_with(&mut offline, &["who/big@main", "not in the cache"]);
}

#[test]
fn the_only_weights_of_a_model_are_fetched_and_of_several_one_is_named() {
    let (folder, bytes) = weights();
    let home = folder.path().join("home");
    let torch = fs::read("tests/golden/formats/plain.pth").unwrap();
    let (endpoint, hub) = Hub::default()
        .with(&path("who/one", "main", "EUPE-ViT-T.pt"), &bytes)
        .with(&path("who/one", "main", "README.md"), b"# A model")
        .with(&path("who/two", "v1", "small/a.safetensors"), &bytes)
        .with(&path("who/two", "v1", "small/config.json"), b"{}")
        .with(&path("who/two", "v1", "b.bin"), &torch)
        .with(&path("who/dcp", "main", "weights/__0_0.distcp"), b"PK")
        .serve();
    let run = |model: &str| nullspace(&format!("hf-hub:{model}"), &home, &endpoint);
    succeed(&mut run("who/one"));
    fail_with(
        &mut run("who/two@v1"),
        &["who/two@v1", "small/a.safetensors, b.bin", "hf-hub:who/two/FILE"],
    );
    succeed(&mut run("who/two/small/a.safetensors@v1"));
    assert!(cached(&home).iter().any(|path| path.ends_with("small/config.json")));
    fail_with(&mut run("who/two/c.bin@v1"), &["it has no c.bin", "small/a.safetensors, b.bin"]);
    fail_with(&mut run("who/dcp"), &["who/dcp@main", "dcp_to_torch"]);

    // All of it is in the cache now.
    let asked = hub.ranges.lock().unwrap().len();
    for model in ["who/one", "who/two/small/a.safetensors@v1"] {
        succeed(run(model).env("HF_HUB_OFFLINE", "1"));
    }
    assert_eq!(hub.ranges.lock().unwrap().len(), asked);
}

#[test]
fn indices_that_cannot_be_followed_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let mut lacking = sharded("who/lacks");
    lacking.files.retain(|(path, ..)| !path.contains("00002-of"));
    let (endpoint, _) = lacking.serve();
    fail_with(
        &mut nullspace("hf-hub:who/lacks", &home, &endpoint),
        &["who/lacks@main", "model-00002-of-00002.safetensors", "does not have"],
    );
    let hostile = json!({ "weight_map": { "a": "../../escape.safetensors" } }).to_string();
    let torch = json!({ "weight_map": { "a": "pytorch_model-00001-of-00002.bin" } }).to_string();
    let (endpoint, _) = Hub::default()
        .with(&path("who/bad", "main", "model.safetensors.index.json"), hostile.as_bytes())
        .with(&path("who/torch", "main", "pytorch_model.bin.index.json"), torch.as_bytes())
        .serve();
    fail_with(
        &mut nullspace("hf-hub:who/bad", &home, &endpoint),
        &["../../escape.safetensors", "not a plain file name"],
    );
    fail_with(
        &mut nullspace("hf-hub:who/torch", &home, &endpoint),
        &["who/torch@main", "torch files in several parts", "save_pretrained"],
    );
    let outside = |path: &PathBuf| path.to_string_lossy().contains("escape");
    assert!(!cached(&home).iter().any(outside));
}
