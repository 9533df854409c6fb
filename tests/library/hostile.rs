use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use singer::Error;
use singer::weights::WeightsFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::formats::golden;

/// Opening the file fails with one line that names it, the reason and how to fix it.
fn refused(path: &Path, reason: &str) {
    refused_for_any(path, &[reason]);
}

/// The same for one of several reasons.
fn refused_for_any(path: &Path, reasons: &[&str]) {
    let error = WeightsFile::open(path).expect_err(reasons[0]);
    assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
    let line = error.to_string();
    let name = path.file_name().unwrap().to_str().unwrap();
    let fits = |reason: &&str| !reason.is_empty() && line.contains(*reason);
    assert!(reasons.iter().any(fits) && line.contains(name), "{line} lacks {reasons:?}");
    assert!(line.contains("download or export it again"), "{line}");
    assert!(!line.contains(char::is_control) && line.len() < 1000, "{line}");
}

fn bytes_refused(bytes: impl AsRef<[u8]>, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.any");
    fs::write(&path, bytes).unwrap();
    refused(&path, reason);
}

fn safetensors(header: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat()
}

fn tensor(dtype: &str, shape: Value, from: usize, to: usize) -> Value {
    json!({ "dtype": dtype, "shape": shape, "data_offsets": [from, to] })
}

#[test]
fn files_of_another_kind_are_called_what_they_are() {
    bytes_refused(b"", "too short");
    bytes_refused(b"abc", "too short");
    bytes_refused(b"\x89PNG\r\n\x1a\n and so on", "an image");
    bytes_refused(b"\n<!DOCTYPE html><title>404</title>", "a web page");
    bytes_refused(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
    bytes_refused(b"\x80\x04\x95 a pickle", "(pickle: ");
    bytes_refused(b"not a tensor in sight", "neither safetensors nor");
    bytes_refused(b"{\"a\": 1}", "weight_map");
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), "a folder without weights");
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        refused(&pipe, "not a regular file");
    }
    let missing = WeightsFile::open(&folder.path().join("missing"));
    assert!(matches!(missing, Err(Error::Io { .. })));
}

#[test]
fn every_shortened_file_is_refused() {
    const EMPTY: &str = "it is too short";
    let files = [
        ("f32.safetensors", &[EMPTY, "reaches past its end", "its header says 6624"][..]),
        ("plain.pth", &[EMPTY, "zip archive error: "]),
        ("legacy.pth", &[EMPTY, "(pickle: ", "from legacy format", "beyond the end of the file"]),
    ];
    for (name, reasons) in files {
        let bytes = fs::read(golden(name)).unwrap();
        for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, &bytes[..length]).unwrap();
            refused_for_any(&path, reasons);
        }
    }
}

#[test]
fn safetensors_headers_that_lie_are_refused() {
    let mut lie = safetensors("{}", 0);
    lie[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    bytes_refused(&lie, "header reaches past its end");
    bytes_refused(safetensors(vec![b'{'; 17 << 20], 0), "more than");
    bytes_refused(safetensors(b"{\"\xff\xfe\": 0}", 0), "not UTF-8");
    bytes_refused(safetensors("{\"a\n\": 1}", 0), "its header");
    bytes_refused(safetensors("{", 8), "its header");
    bytes_refused(safetensors("[".repeat(1 << 20).replacen('[', "{", 1), 0), "its header");

    let file = |tensors: Value, data| safetensors(tensors.to_string(), data);
    let f32s = |from, to| tensor("F32", json!([2]), from, to);
    bytes_refused(file(json!({ "a": f32s(0, 8) }), 7), "its header says");
    bytes_refused(file(json!({ "a": f32s(0, 8) }), 9), "its header says");
    bytes_refused(file(json!({ "a": f32s(0, 8), "b": f32s(4, 12) }), 12), "the tensor before");
    bytes_refused(file(json!({ "a": f32s(0, 8), "b": f32s(0, 8) }), 8), "the tensor before");
    bytes_refused(file(json!({ "a": f32s(8, 0) }), 8), "the tensor before");
    bytes_refused(file(json!({ "a": f32s(0, 1 << 60) }), 8), "its header says");
    bytes_refused(file(json!({ "a": f32s(0, 4) }), 4), "has 4 bytes");
    for (shape, reason) in [
        (json!([1_u64 << 60]), "has 8 bytes"),
        (json!([1_u64 << 32, 1_u64 << 32]), "impossible shape"),
        (json!([u64::MAX, 4]), "impossible shape"),
    ] {
        bytes_refused(file(json!({ "a": tensor("F32", shape, 0, 8) }), 8), reason);
    }
    let empty = tensor("F32", json!([0, 1_u64 << 60, 1_u64 << 60]), 0, 0);
    bytes_refused(file(json!({ "a": empty }), 0), "impossible shape");
    let many = tensor("F32", json!(vec![1; 9]), 0, 4);
    bytes_refused(file(json!({ "a": many }), 4), "9 dimensions");
    bytes_refused(file(json!({ "a": tensor("X9", json!([1]), 0, 8) }), 8), "X9");
    bytes_refused(file(json!({ "a\u{1b}[2J": f32s(0, 8) }), 8), "name is not one");
    bytes_refused(file(json!({ "a".repeat(513): f32s(0, 8) }), 8), "name is not one");
    let (a, b) = (f32s(0, 8), f32s(8, 16));
    bytes_refused(safetensors(format!(r#"{{"a": {a}, "a": {b}}}"#), 16), "two tensors are named a");
}

#[test]
fn shard_indices_name_only_files_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let shard = "model-00001-of-00002.safetensors";
    fs::copy(golden("sharded").join(shard), folder.path().join(shard)).unwrap();
    let write = |map: Value| fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    for outside in ["../x.safetensors", "/etc/passwd", "a/b", "..", ".", ""] {
        write(json!({ "cls_token": outside }));
        refused(&index, "not a plain file name");
    }
    write(json!({ "cls_token": "missing.safetensors" }));
    let error = WeightsFile::open(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("missing.safetensors")));
    write(json!({ "nowhere": shard }));
    refused(&index, "names nowhere, which is not in its shard");
    write(json!({ "cls_token": shard }));
    refused(&index, "which it does not name");
    write(json!({ "cls_token": "model.safetensors.index.json" }));
    refused(&index, "a shard index where weights should be");
}

#[test]
fn a_tensor_of_integers_is_no_weight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("integers");
    let header = json!({ "a": tensor("I64", json!([1]), 0, 8) }).to_string();
    fs::write(&path, safetensors(header, 8)).unwrap();
    let error = WeightsFile::open(&path).unwrap().read("a").unwrap().unwrap_err();
    assert!(error.to_string().contains("a is of type I64, wanted F32"), "{error}");
}

#[test]
fn a_pickle_that_calls_a_function_is_refused_and_not_run() {
    refused(&golden("call.pth"), "an object of posix.system, which is never made or called");
}

/// A file of the format before PyTorch 1.6 around a pickled object, with one
/// storage of 4 numbers.
fn legacy(object: &[u8]) -> Vec<u8> {
    let (protocol, machine) = (b"\x80\x02M\xe9\x03.", b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    let magic = &fs::read(golden("legacy.pth")).unwrap()[..15];
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    let storage = [[4, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8]];
    [magic, protocol, machine, object, keys, storage.as_flattened()].concat()
}

/// A pickled tensor `a` over a storage of 4 numbers.
fn view(storage: &str, offset: u8, shape: &str, strides: &str) -> Vec<u8> {
    let start = format!(
        "}}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n{storage}\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQK"
    );
    let (layout, end) = (format!("{shape}{strides}"), b"\x89}tRs.");
    [start.as_bytes(), &[offset], layout.as_bytes(), end].concat()
}

/// Opening the file or reading its tensor fails with one line.
fn unreadable(bytes: Vec<u8>, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, bytes).unwrap();
    let read = WeightsFile::open(&path).and_then(|file| file.read("a").unwrap());
    let line = read.expect_err(reason).to_string();
    assert!(!reason.is_empty() && line.contains(reason), "{line} lacks {reason}");
    assert!(!line.contains(char::is_control), "{line}");
}

#[test]
fn pickled_views_stay_inside_their_storage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, legacy(&view("FloatStorage", 1, "(K\x03t", "(K\x01t"))).unwrap();
    let inside = WeightsFile::open(&path).unwrap().read("a").unwrap().unwrap();
    assert_eq!(inside.as_slice::<f32>().unwrap(), [0.0; 3]);
    for (offset, shape, strides) in [(2, "(K\x03t", "(K\x01t"), (0, "(K\x03t", "(K\x02t")] {
        unreadable(legacy(&view("FloatStorage", offset, shape, strides)), "storage");
    }
    let expanded = view("FloatStorage", 0, "(J\0\0\0\x40t", "(K\0t");
    unreadable(legacy(&expanded), "larger than the file");
    let flat = legacy(&view("FloatStorage", 0, "(K\x03t", ")"));
    unreadable(flat, "stride rank 0 does not match shape rank 1");
    let unfinished = legacy(&view("FloatStorage", 0, "(J\0\0\0\x7ft", "(N"));
    unreadable(unfinished, "unexpected pickle opcode");
    let unknown = legacy(&view("NoStorage", 0, "(K\x03t", "(K\x01t"));
    unreadable(unknown, "torch.NoStorage");
}

#[test]
fn pickles_that_break_their_machine_are_refused() {
    let deep = [b")".as_slice(), &b"\x85".repeat(400_000), b"."].concat();
    let cases: [(&[u8], &str); 11] = [
        (&deep, "nesting exceeds"),
        (&b")".repeat(1 << 20), "invalid pickle opcode"),
        (&[b"N".as_slice(), &b"\x94".repeat(1 << 20)].concat(), "memo bomb"),
        (b"0.", "stack underflow"),
        (b".", "stack underflow"),
        (b"(NNu.", "stack underflow"),
        (b"h\x07.", "memo reference 7 not found"),
        (b"X\xff\xff\xff\xff.", "expected 4294967295 bytes"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "expected 18446744073709551615 bytes"),
        (b"X\x01\0\0\0\xff.", "Invalid UTF-8"),
        (b"}NNs.", "dict key must be"),
    ];
    for (object, reason) in cases {
        bytes_refused(legacy(object), reason);
    }
}

/// A valid zip archive with the directory's record of data.pkl changed.
fn with_record(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = fs::read(golden("plain.pth")).unwrap();
    let at = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    change(&mut bytes[at..]);
    bytes
}

#[test]
fn zip_archives_that_lie_are_refused() {
    let huge = |record: &mut [u8]| record[24..28].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    bytes_refused(with_record(huge), "is 4294967294 bytes, above the");
    bytes_refused(with_record(|record| record[42] = 7), "Invalid local file header");
    bytes_refused(with_record(|record| record[0] = 0), "Invalid Central Directory header");
    bytes_refused(b"PK\x03\x04 nothing else", "Could not find EOCD");
    let other = fs::read(golden("plain.pth")).unwrap();
    let text = |bytes: &[u8], from: &[u8; 8], to: &[u8; 8]| {
        let mut bytes = bytes.to_vec();
        while let Some(at) = bytes.windows(8).position(|eight| eight == from) {
            bytes[at..at + 8].copy_from_slice(to);
        }
        bytes
    };
    bytes_refused(text(&other, b"data.pkl", b"data.pkx"), "No data.pkl entry");
}

/// 64 MiB of zeros, deflated to a few kilobytes under the name of a tensor's storage
/// or of the pickle.
#[test]
fn a_zip_bomb_gives_no_more_than_its_tensors() {
    for bomb in ["plain/data.pkl", "plain/data/0"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.pth");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        let mut source = ZipArchive::new(File::open(golden("plain.pth")).unwrap()).unwrap();
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for index in 0..source.len() {
            let mut part = source.by_index(index).unwrap();
            let name = part.name().unwrap().into_owned();
            archive.start_file(&name, deflated).unwrap();
            if name == bomb {
                std::io::copy(&mut std::io::repeat(0).take(64 << 20), &mut archive).unwrap();
            } else {
                std::io::copy(&mut part, &mut archive).unwrap();
            }
        }
        archive.finish().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        if let Ok(file) = WeightsFile::open(&path) {
            let shape_bytes = |name: &str| 4 * file.shape(name).unwrap().iter().product::<usize>();
            for name in file.names() {
                if let Ok(read) = file.read(name).unwrap() {
                    assert_eq!(read.as_bytes().len(), shape_bytes(name));
                }
            }
        }
    }
}

#[test]
fn mutated_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let mut opened = 0;
    for name in ["f32.safetensors", "float16.pth", "legacy.pth", "protocol4.pt", "training.pth"] {
        let valid = fs::read(golden(name)).unwrap();
        // Structure, not tensors' values, is where a change matters.
        let structure: Vec<usize> = match name {
            "f32.safetensors" => (0..3000).collect(),
            "legacy.pth" => (0..4600).collect(),
            _ => (0..4000).chain(valid.len() - 3000..valid.len()).collect(),
        };
        for _ in 0..1000 {
            let mut bytes = valid.clone();
            for _ in 0..random.random_range(1..4) {
                mutate(&mut bytes, structure[random.random_range(0..structure.len())], &mut random);
            }
            fs::write(&path, &bytes).unwrap();
            match WeightsFile::open(&path) {
                Ok(file) => {
                    opened += 1;
                    for name in file.names() {
                        match file.read(name).unwrap() {
                            Ok(read) => assert!(read.as_bytes().len() <= 2 * bytes.len()),
                            Err(error) => assert!(!error.to_string().contains('\n')),
                        }
                    }
                }
                Err(error) => assert!(!error.to_string().contains('\n')),
            }
        }
    }
    assert!(opened > 0, "mutations that change only values or names load");
}

fn mutate(bytes: &mut Vec<u8>, at: usize, random: &mut impl Rng) {
    let at = at.min(bytes.len().saturating_sub(1));
    match random.random_range(0..6) {
        0 => bytes[at] = random.random(),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => bytes.insert(at, random.random()),
        3 => drop(bytes.remove(at)),
        4 => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill([0, 0xff, 0x7f][random.random_range(0..3)]);
        }
        _ => {
            let from = random.random_range(0..bytes.len());
            bytes[at] = bytes[from];
        }
    }
}
