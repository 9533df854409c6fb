use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use sha2::{Digest, Sha256};
use singer::weights::NamedTensors;

use crate::support::{distill, succeed, teacher};

const METHODS: [&str; 8] = [
    "singer",
    "singer --refine=published",
    "fitnet",
    "cosine",
    "normalised",
    "vitkd",
    "vitkd-reference",
    "kd",
];

/// The tensors of a run's student and of what else was trained.
fn files(out: &Path) -> Vec<Vec<u8>> {
    let names = ["student.safetensors", "singer.safetensors"];
    names.iter().filter_map(|name| fs::read(out.join(name)).ok()).collect()
}

#[test]
fn a_teachers_cache_changes_no_bit_of_any_method_nor_does_a_damaged_one() {
    let (folder, teacher) = teacher();
    let cache = folder.path().join("cache");
    let train = |method: &str, name: &str, more: &[&str]| {
        let (method, refine) = method.split_once(' ').map_or((method, None), |(a, b)| (a, Some(b)));
        let out = folder.path().join(format!("{method}-{}-{name}", refine.unwrap_or("default")));
        let mut command = distill(&teacher, &out, 2);
        command.args(["--method", method]).args(refine).args(more);
        if name != "without" {
            command.arg("--teacher-cache").arg(&cache);
        }
        succeed(&mut command);
        files(&out)
    };
    let mut without = BTreeMap::new();
    for method in METHODS {
        let plain = train(method, "without", &[]);
        assert!(plain == train(method, "first", &[]), "{method}");
        assert!(plain == train(method, "again", &[]), "{method}");
        without.insert(method, plain);
    }
    let kept = || -> Vec<_> {
        let mut kept: Vec<_> =
            fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path()).collect();
        kept.sort();
        kept
    };
    let whole = kept();
    let bytes =
        |files: &[PathBuf]| -> Vec<_> { files.iter().map(|f| fs::read(f).unwrap()).collect() };
    let before = bytes(&whole);
    // Every other file is damaged: what is read from it would show.
    for (index, file) in whole.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
        let mut bytes = before[index].clone();
        let last = bytes.len() - 1;
        match index % 4 {
            0 => bytes[last] ^= 0x40,
            _ => bytes.truncate(last / 2),
        }
        fs::write(file, bytes).unwrap();
    }
    for method in METHODS {
        assert!(without.remove(method).unwrap() == train(method, "damaged", &[]), "{method}");
    }
    assert!(kept() == whole && bytes(&whole) == before, "damaged files are written anew");
}

#[test]
fn one_cache_serves_two_teachers_and_is_read_where_it_can_be() {
    let (folder, teacher) = teacher();
    let other = folder.path().join("other.safetensors");
    let mut file = NamedTensors::read(&teacher).unwrap();
    let bias = file.tensors.get_mut("blocks.0.mlp.fc2.bias").unwrap();
    *bias = TensorData::new(vec![0.25_f32; bias.shape()[0]], bias.shape().clone());
    file.write(&other).unwrap();
    let cache = folder.path().join("cache");
    let train = |teacher: &Path, name: &str, cached: bool| {
        let out = folder.path().join(name);
        let mut command = distill(teacher, &out, 2);
        command.args(["--method", "fitnet"]);
        if cached {
            command.arg("--teacher-cache").arg(&cache);
        }
        succeed(&mut command);
        files(&out)
    };
    let first = train(&teacher, "first", true);
    let count = || fs::read_dir(&cache).unwrap().count();
    let of_one = count();
    assert!(of_one > 0);
    assert!(train(&other, "other", true) == train(&other, "other-without", false));
    assert_eq!(count(), 2 * of_one);
    // What the cache holds is what a run learns from: values of zero teach another student.
    for file in fs::read_dir(&cache).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let zeros = [&bytes[40..72], &vec![0; bytes.len() - 72]].concat();
        let sum = Sha256::digest(&zeros);
        fs::write(&path, [&bytes[..8], &sum, &zeros].concat()).unwrap();
    }
    assert!(train(&teacher, "zeros", true) != first);
}
