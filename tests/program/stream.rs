//! The commands on data sets in shards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tiny_http::{Header, Response, Server};

use super::shards::{Table, parquet_of, write_tars};
use super::support::{fail_with, metrics, run, singer, succeed, teacher, tiny};

/// A URL that a server was asked for, and the headers.
type Asked = (String, BTreeMap<String, String>);

/// A server of a folder's files, and what it was asked for.
fn serve(folder: &Path) -> (String, Receiver<Asked>) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.server_addr());
    let (sender, asked) = channel();
    let folder = folder.to_owned();
    thread::spawn(move || {
        while let Ok(request) = server.recv() {
            let headers = request.headers().iter();
            let headers =
                headers.map(|h| (h.field.to_string().to_lowercase(), h.value.to_string()));
            let _ = sender.send((request.url().to_owned(), headers.collect()));
            let path = request.url().split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            let _ = match std::fs::read(folder.join(name)) {
                Ok(bytes) => request.respond(Response::from_data(bytes)),
                Err(_) => request.respond(
                    Response::from_data("no")
                        .with_status_code(404)
                        .with_header(Header::from_bytes(&b"X"[..], &b"y"[..]).unwrap()),
                ),
            };
        }
    });
    (url, asked)
}

/// A distillation on `data` into a folder, with a checkpoint every five steps.
fn distill(teacher: &Path, data: &str, out: &Path, steps: &str) -> Command {
    let mut command = singer();
    command
        .args(["distill", "--student", "vit_tiny_patch16_224", "--data", data, "--batch", "8"])
        .args(["--layers", "1", "--rank", "4", "--device", "cpu", "--set", "train.threads=2"])
        .args(["--set", "student.embed_dim=8", "--set", "student.depth=3"])
        .args(["--set", "student.num_heads=2", "--set", "train.checkpoint_every=5"])
        // As an epoch's length is not known everywhere.
        .args(["--set", "schedule={name=\"constant\"}"])
        .args(["--steps", steps, "--resume", "--teacher"])
        .arg(teacher)
        .arg("--out")
        .arg(out);
    command
}

#[test]
fn a_student_learns_from_shards_and_a_killed_run_ends_with_the_same_bits() {
    let (folder, teacher) = teacher();
    write_tars(folder.path(), 3, 20);
    let place = folder.path().join("{0..2}.tar");
    let place = place.to_str().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let said = succeed(&mut distill(&teacher, place, &whole, "60"));
    assert!(said.stdout.contains("60 images in 3 shard(s)"), "{}", said.stdout);
    let mut command = distill(&teacher, place, &killed, "60");
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    while !killed.join("checkpoint.safetensors").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was done before it was killed");
    succeed(&mut distill(&teacher, place, &killed, "60"));
    let student = |out: &Path| std::fs::read(out.join("student.safetensors")).unwrap();
    assert!(student(&whole) == student(&killed));
    assert_eq!(metrics(&killed).len(), 60);
}

#[test]
fn a_student_learns_from_a_server() {
    let (folder, teacher) = teacher();
    write_tars(folder.path(), 2, 20);
    let (url, _asked) = serve(folder.path());
    let url = format!("{url}/{{0..1}}.tar");
    let [remote, local] = ["remote", "local"].map(|name| folder.path().join(name));
    let said = succeed(&mut distill(&teacher, &url, &remote, "6"));
    assert!(said.stdout.contains("images in 2 shard(s)"), "{}", said.stdout);
    let place = folder.path().join("{0..1}.tar");
    succeed(&mut distill(&teacher, place.to_str().unwrap(), &local, "6"));
    // The same images in the same order.
    let losses = |out: &Path| -> Vec<serde_json::Value> {
        metrics(out).iter().map(|record| record["loss"].clone()).collect()
    };
    assert_eq!(losses(&remote), losses(&local));
}

#[test]
fn labels_of_shards_are_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    std::fs::create_dir(&shards).unwrap();
    write_tars(&shards, 2, 20);
    let pretrain = |data: &str, out: &str| {
        let mut command = singer();
        command
            .args(["pretrain", "--model", "vit_tiny_patch16_224", "--batch", "8"])
            .args(["--device", "cpu", "--data", data, "--out"])
            .arg(folder.path().join(out))
            .args(tiny("model"));
        command
    };
    let said = succeed(pretrain(shards.to_str().unwrap(), "tar").args(["--steps", "2"]));
    assert!(said.stdout.contains("40 images in 2 shard(s) of 5 classes"), "{}", said.stdout);

    let tables = folder.path().join("tables");
    std::fs::create_dir(&tables).unwrap();
    let bytes = parquet_of(0..30, Table::default());
    std::fs::write(tables.join("train-00000-of-00001.parquet"), bytes).unwrap();
    let bytes = parquet_of(30..40, Table::default());
    std::fs::write(tables.join("validation-00000-of-00001.parquet"), bytes).unwrap();
    let place = tables.to_str().unwrap();
    let mut command = pretrain(place, "parquet");
    let said = succeed(command.args(["--val", place, "--steps", "2"]));
    assert!(said.stdout.contains("30 images in 1 shard(s) of 5 classes"), "{}", said.stdout);
    assert!(said.stdout.contains("validation accuracy"), "{}", said.stdout);

    let (url, _asked) = serve(&shards);
    let url = format!("{url}/{{0..1}}.tar");
    fail_with(pretrain(&url, "x").args(["--steps", "2"]), &["classes", "data.classes"]);
    fail_with(pretrain(&url, "x").args(["--set", "data.classes=5"]), &["--steps"]);
    succeed(pretrain(&url, "url").args(["--steps", "2", "--set", "data.classes=5"]));
    fail_with(
        pretrain(&url, "y").args(["--steps", "9", "--set", "data.classes=2"]),
        &["its label", "2 classes"],
    );
}

#[test]
fn commands_that_read_in_any_order_take_shards() {
    let (folder, teacher) = teacher();
    write_tars(folder.path(), 2, 20);
    let (url, _asked) = serve(folder.path());
    let fit = |data: &str, out: &str| {
        let mut command = singer();
        command.args(["fit", "--kind", "published", "--layers", "1", "--rank", "4"]);
        command.args(["--steps", "2", "--limit", "8"]);
        command.args(["--device", "cpu", "--data", data, "--out"]).arg(folder.path().join(out));
        command.arg(&teacher);
        command
    };
    let tar = folder.path().join("{0..1}.tar");
    succeed(&mut fit(tar.to_str().unwrap(), "tar.safetensors"));
    succeed(&mut fit(&format!("{url}/{{0..1}}.tar"), "url.safetensors"));
    let mut missing = fit(&format!("{url}/2.tar?sig=secret"), "none.safetensors");
    let failed = fail_with(&mut missing, &["/2.tar", "404"]);
    assert!(!failed.stderr.contains("secret"), "{}", failed.stderr);
}

#[test]
fn objects_are_asked_for_with_a_signature_at_an_endpoint_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 1, 20);
    let (url, asked) = serve(folder.path());
    let bench = |keys: &[(&str, &str)]| {
        let mut command = singer();
        command.args(["bench", "--data", "s3://photos/deep/0.tar", "--size", "8", "--batch", "4"]);
        command
            .args(["--images", "8"])
            .env("AWS_ENDPOINT_URL", &url)
            .env("AWS_REGION", "eu-west-1");
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            command.env_remove(name);
        }
        command.envs(keys.iter().copied());
        succeed(&mut command);
        asked.try_iter().last().unwrap()
    };
    let (open, headers) = bench(&[]);
    assert_eq!(open, "/photos/deep/0.tar");
    assert!(headers["user-agent"].starts_with("SINGER/"), "{headers:?}");
    let keys = [("AWS_ACCESS_KEY_ID", "NAME"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
    let (signed, _) = bench(&[keys[0], keys[1], ("AWS_SESSION_TOKEN", "token")]);
    assert!(signed.starts_with("/photos/deep/0.tar?"), "{signed}");
    let parts = ["X-Amz-Credential=NAME%2F", "%2Feu-west-1%2Fs3%2F", "X-Amz-Security-Token=token"];
    for part in parts.into_iter().chain(["X-Amz-Signature="]) {
        assert!(signed.contains(part), "{signed} lacks {part}");
    }
    assert!(!signed.contains("hidden"), "{signed}");
}

#[test]
fn a_damaged_parquet_file_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.parquet");
    let whole = parquet_of(0..20, Table::default());
    let bench = || {
        let mut command = singer();
        command.args(["bench", "--size", "8", "--batch", "4", "--images", "4", "--data"]);
        command.arg(&path);
        command
    };
    std::fs::write(&path, &whole).unwrap();
    succeed(&mut bench());
    let mut refused = 0;
    // The head of the first page: its kind, sizes and encodings.
    for place in 4..24 {
        let mut bytes = whole.clone();
        bytes[place] = 0;
        std::fs::write(&path, bytes).unwrap();
        if run(&mut bench()).code != Some(0) {
            fail_with(&mut bench(), &["0.parquet"]);
            refused += 1;
        }
    }
    assert!(refused > 5, "{refused}");
}
