use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, bf16, f16};
use singer::vit::VitConfig;
use singer::weights::{self, WeightsFile};

/// The model of `tests/golden/formats/make.py`.
fn config() -> VitConfig {
    VitConfig {
        img_size: [8, 8],
        patch_size: 4,
        embed_dim: 8,
        depth: 2,
        num_heads: 2,
        mlp_ratio: 2.0,
        ..VitConfig::default()
    }
}

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden/formats").join(name)
}

/// All tensors of a file: name, shape, bits.
fn bits(path: &Path) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    bits_of(&WeightsFile::open(path).unwrap_or_else(|error| panic!("{error}")))
}

pub(crate) fn bits_of(file: &WeightsFile) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let tensor = |name: &str| {
        let values = file.read(name).unwrap().unwrap();
        let bits = values.as_slice::<f32>().unwrap().iter().map(|value| value.to_bits()).collect();
        (name.to_owned(), file.shape(name).unwrap().to_vec(), bits)
    };
    file.names().map(tensor).collect()
}

const F32_FILES: [&str; 12] = [
    "sharded",
    "sharded/model.safetensors.index.json",
    "plain.pth",
    "legacy.pth",
    "protocol4.pt",
    "training.pth",
    "dino.pth",
    "views.bin",
    "lightning.ckpt",
    "ema.pth",
    "ema_alone.pt",
    "compiled.pt",
];

#[test]
fn every_format_gives_the_same_bits() {
    let wanted = bits(&golden("f32.safetensors"));
    assert_eq!(wanted.len(), 30);
    for name in F32_FILES {
        assert!(bits(&golden(name)) == wanted, "{name}");
    }
}

#[test]
fn half_precision_is_read_as_its_rounded_values() {
    let exact = bits(&golden("f32.safetensors"));
    let rounded = |round: fn(f32) -> f32| {
        let mut tensors = exact.clone();
        for (_, _, bits) in &mut tensors {
            bits.iter_mut().for_each(|bits| *bits = round(f32::from_bits(*bits)).to_bits());
        }
        tensors
    };
    let half = rounded(|value| f16::from_f32(value).to_f32());
    let brain = rounded(|value| bf16::from_f32(value).to_f32());
    for ending in ["safetensors", "pth"] {
        assert!(bits(&golden(&format!("float16.{ending}"))) == half, "{ending}");
        assert!(bits(&golden(&format!("bfloat16.{ending}"))) == brain, "{ending}");
    }
}

#[test]
fn a_model_loads_the_same_from_every_format_whatever_its_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |path: &Path| {
        let vit = weights::load(path, "tiny", &config(), &Device::flex())
            .unwrap_or_else(|error| panic!("{error}"));
        let out = folder.path().join("saved");
        weights::save(&vit, "tiny", &config(), &out).unwrap();
        fs::read(out).unwrap()
    };
    let wanted = saved(&golden("f32.safetensors"));
    for name in F32_FILES {
        assert!(saved(&golden(name)) == wanted, "{name}");
    }
    let disguised = folder.path().join("model.safetensors");
    fs::copy(golden("training.pth"), &disguised).unwrap();
    assert!(saved(&disguised) == wanted);
    assert!(saved(folder.path()) == wanted, "a folder that holds model.safetensors");
}

#[test]
fn a_file_says_the_architecture_that_was_saved_with_it() {
    let out = tempfile::tempdir().unwrap().path().with_extension("weights");
    let model = weights::load(&golden("plain.pth"), "tiny", &config(), &Device::flex()).unwrap();
    assert!(weights::stored_config(&golden("plain.pth")).unwrap().is_none());
    weights::save(&model, "tiny", &config(), &out).unwrap();
    assert_eq!(weights::stored_config(&out).unwrap(), Some(("tiny".to_owned(), config())));
    fs::remove_file(out).unwrap();
}
