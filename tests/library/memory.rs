//! What a browser uses: files in memory, and the calls that do not block.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use singer::distill::singer::{SingerSettings, adapters, adapters_async};
use singer::refine::PartsFile;
use singer::refine::nullspace::Linearised;
use singer::weights::{self, NamedTensors, WeightsFile};
use tempfile::tempdir;

use crate::formats::golden;

fn bytes(name: &str) -> Vec<u8> {
    fs::read(golden(name)).unwrap()
}

#[test]
fn a_file_in_memory_holds_what_it_holds_on_disk() {
    for name in ["f32.safetensors", "float16.safetensors", "bfloat16.safetensors"] {
        let on_disk = WeightsFile::open(&golden(name)).unwrap();
        let held = WeightsFile::from_bytes(name, bytes(name)).unwrap();
        assert!(on_disk.names().eq(held.names()), "{name}");
        for tensor in on_disk.names() {
            let [a, b] = [&on_disk, &held].map(|file| file.read(tensor).unwrap().unwrap());
            assert!(a == b, "{name}: {tensor}");
        }
    }
}

#[test]
fn only_safetensors_are_read_from_memory_and_the_error_says_what_to_do() {
    for (name, said) in [
        ("plain.pth", "export it as safetensors"),
        ("legacy.pth", "export it as safetensors"),
        ("sharded/model.safetensors.index.json", "merge its shards"),
    ] {
        let error = WeightsFile::from_bytes(name, bytes(name)).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
    for (damaged, said) in [
        (vec![], "empty"),
        (vec![0; 5], "too short"),
        (b"<html>".to_vec(), "web page"),
        ([u64::MAX.to_le_bytes().as_slice(), b"{"].concat(), "header"),
        ([(4_u64 << 30).to_le_bytes().as_slice(), b"{"].concat(), "header"),
    ] {
        let error = WeightsFile::from_bytes("dropped", damaged).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("dropped"), "{error}");
    }
}

#[test]
fn a_model_in_memory_is_recognised_with_the_texts_of_the_configs_beside_it() {
    for case in fs::read_dir("tests/golden/naming").unwrap() {
        let folder = case.unwrap().path();
        let weights = folder.join("model.safetensors");
        if !weights.is_file() {
            continue;
        }
        let on_disk = weights::recognise(&weights).unwrap();
        let file = WeightsFile::from_bytes("model", fs::read(&weights).unwrap()).unwrap();
        let held = file.recognise(|name| fs::read_to_string(folder.join(name)).ok()).unwrap();
        assert_eq!(on_disk, held, "{}", folder.display());
        let device = Device::flex();
        let [a, b] = [
            weights::load(&weights, &held.arch, &held.config, &device).unwrap(),
            file.load(&held.arch, &held.config, &device).unwrap(),
        ];
        let [a, b] = [a, b].map(|vit| vit.patch_embed.proj.weight.val().into_data());
        assert!(a == b, "{}", folder.display());
    }
}

#[test]
fn what_does_not_block_gives_the_same() {
    let path = Path::new("assets/demo-teacher.safetensors");
    let (arch, config) = weights::stored_config(path).unwrap().unwrap();
    let teacher = weights::load(path, &arch, &config, &Device::flex()).unwrap();
    let block = &teacher.blocks[2];
    let waited = pollster::block_on(Linearised::of_async(block)).unwrap();
    assert!(Linearised::of(block).to_rows() == waited.to_rows());

    let settings = SingerSettings::default().with(|s| s.rank = 8);
    let (started, reports) = adapters(&teacher, &[3, 5], &settings, 0, &Device::flex()).unwrap();
    let device = Device::flex();
    let twin = adapters_async(&teacher, &[3, 5], &settings, 0, &device);
    let (waited, told) = pollster::block_on(twin).unwrap();
    assert_eq!(reports, told);
    for (a, b) in started.iter().zip(&waited) {
        assert!(a.down.val().into_data() == b.down.val().into_data());
    }

    let moved = teacher.with_grid(config.grid(), [5, 9]).unwrap();
    let waited = pollster::block_on(teacher.with_grid_async(config.grid(), [5, 9])).unwrap();
    let positions = |vit: &singer::vit::Vit| vit.pos_embed.as_ref().unwrap().val().into_data();
    assert!(positions(&moved) == positions(&waited));
    let refused = pollster::block_on(teacher.with_grid_async([3, 3], [5, 9]));
    assert!(refused.is_err(), "the model's grid is another");
}

#[test]
fn an_adapter_file_that_does_not_fit_itself_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("singer.safetensors");
    let layers = |layers: &str| [("layers".to_owned(), layers.to_owned())].into();
    let tensor = |shape: [usize; 2]| burn::tensor::TensorData::zeros::<f32, _>(shape);
    let parts = |down: [usize; 2], up: [usize; 2], metadata| {
        let tensors =
            [("adapter.3.down".to_owned(), tensor(down)), ("adapter.3.up".to_owned(), tensor(up))];
        NamedTensors { tensors: tensors.into(), metadata }.write(&path).unwrap();
        PartsFile::new(WeightsFile::open(&path).unwrap())
    };
    let whole = parts([8, 2], [2, 8], layers("[3]"));
    assert_eq!(whole.layers().unwrap(), [3]);
    whole.adapter(3, &Device::flex()).unwrap();
    assert!(whole.adapter(4, &Device::flex()).unwrap_err().to_string().contains("adapter.4.down"));
    assert!(whole.student_layers().is_err(), "it does not say them");
    let odd = parts([8, 2], [3, 8], layers("[3]"));
    assert!(odd.adapter(3, &Device::flex()).unwrap_err().to_string().contains("do not fit"));
    let silent = parts([8, 2], [2, 8], Default::default());
    assert!(silent.layers().unwrap_err().to_string().contains("layers"));
}
