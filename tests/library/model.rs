//! `Model`: opened from any reference, used and written.

use std::collections::BTreeMap;
use std::fs;

use burn::tensor::{Tensor, TensorData};
use image::{Rgb, RgbImage};
use serde_json::json;
use singer::data::{CropMode, Framing, Interpolation};
use singer::export::{ExportOptions, Format, WeightDtype};
use singer::model::{ImageSize, ModelSpec, PreprocessOptions};
use singer::{Device, Error, Model, readback};

const TEACHER: &str = "assets/demo-teacher.safetensors";

/// A model of a few thousand parameters.
fn tiny() -> ModelSpec {
    let mut spec = ModelSpec::named("vit_tiny_patch16_224");
    spec.img_size = Some(ImageSize::Sides([16, 24]));
    (spec.patch_size, spec.embed_dim, spec.depth) = (Some(8), Some(16), Some(3));
    (spec.num_heads, spec.num_classes) = (Some(2), Some(5));
    spec
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(7 * x) as u8, (11 * y) as u8, (x * y) as u8]))
}

fn bits(tensor: Tensor<3>) -> Vec<u32> {
    readback::read(tensor).unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn features_are_the_transformers_tokens_of_the_prepared_images() {
    let device = Device::cpu();
    let model = Model::open(TEACHER, &device).unwrap();
    // More than one batch, of two sizes.
    let images: Vec<_> = (0..35).map(|i| picture(40 + i % 2, 32)).collect();
    let found = model.features(&images, &[4, 1]).unwrap();
    assert_eq!(found[0].dims(), [35, model.config().tokens(), model.config().embed_dim]);
    let prepared =
        model.preprocess().batch([&images[34]], model.config().img_size, device.burn()).unwrap();
    let wanted = model.vit().intermediate(prepared, &[4, 1]);
    for (found, wanted) in found.into_iter().zip(wanted) {
        let last = found.slice(34..35);
        let off = readback::read((last - wanted).abs().max().unsqueeze::<1>()).unwrap()[0];
        assert!(off < 1e-4, "{off}");
    }
}

#[test]
fn features_refuse_blocks_that_are_not_there_and_no_image() {
    let model = Model::new(tiny(), 0, &Device::cpu()).unwrap();
    let beyond = model.features(&[picture(8, 8)], &[0, 3]).unwrap_err();
    assert!(matches!(&beyond, Error::Setting { setting: "layers", value, .. } if value == "3"));
    assert!(beyond.to_string().contains("0 to 2"), "{beyond}");
    assert!(matches!(model.features(&[], &[0]), Err(Error::Setting { setting: "images", .. })));
}

#[test]
fn a_batch_of_two_sizes_is_refused() {
    let device = Device::cpu();
    let model = Model::new(tiny(), 0, &device).unwrap();
    let images = [picture(24, 16), picture(16, 16)];
    let error = model.preprocess().normalise.batch(&images, device.burn()).unwrap_err();
    assert!(error.to_string().contains("16x24 and 16x16"), "{error}");
}

#[test]
fn a_saved_model_opens_with_its_name_shape_weights_and_preparation() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let model = Model::new(tiny(), 3, &device).unwrap();
    let mut options = PreprocessOptions::default();
    options.mean = Some([0.25, 0.5, 0.75]);
    options.crop_mode = Some(CropMode::Border);
    options.interpolation = Some(Interpolation::Bilinear);
    let preprocess = options.over(*model.preprocess()).unwrap();
    let model = model.with_preprocess(preprocess);
    model.save(&file).unwrap();

    let images = [picture(30, 20)];
    let wanted = bits(model.features(&images, &[2]).unwrap().remove(0));
    let bytes = fs::read(&file).unwrap();
    let in_memory = Model::from_bytes("a file", bytes, BTreeMap::new(), &device).unwrap();
    for opened in [Model::open(&file, &device).unwrap(), in_memory] {
        assert_eq!(opened.arch(), "vit_tiny_patch16_224");
        assert_eq!(opened.config(), model.config());
        assert_eq!(opened.preprocess(), &preprocess);
        assert!(opened.assumed().is_empty());
        assert_eq!(bits(opened.features(&images, &[2]).unwrap().remove(0)), wanted);
    }
}

#[test]
fn a_file_in_memory_is_prepared_as_the_same_file_on_disk() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let model = Model::new(tiny(), 3, &device).unwrap();
    // Without the notes that `save` adds.
    singer::weights::save(model.vit(), model.arch(), model.config(), &file).unwrap();
    let config = json!({ "architecture": "vit_tiny_patch16_224", "pretrained_cfg":
        { "crop_pct": 0.75, "crop_mode": "squash", "mean": [0.25, 0.5, 0.75] } });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

    let configs = BTreeMap::from([("config.json".to_owned(), config.to_string())]);
    let in_memory = Model::from_bytes("x", fs::read(&file).unwrap(), configs, &device).unwrap();
    let on_disk = Model::open(&file, &device).unwrap();
    assert_eq!(in_memory.preprocess(), on_disk.preprocess());
    let squashed = Framing::Timm { crop_mode: CropMode::Squash, crop_pct: 0.75 };
    assert_eq!(on_disk.preprocess().framing, squashed);
    assert_eq!(on_disk.preprocess().normalise.mean, [0.25, 0.5, 0.75]);
}

#[test]
fn a_seed_gives_the_same_new_model_and_another_seed_another() {
    let device = Device::cpu();
    let weights = |seed: u64| {
        let model = Model::new(tiny(), seed, &device).unwrap();
        readback::read(model.vit().patch_embed.proj.weight.val()).unwrap()
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn what_no_model_can_be_made_of_is_a_typed_error() {
    let device = Device::cpu();
    let unknown = Model::new("vit_smal_patch16_224", 0, &device).unwrap_err();
    assert!(matches!(&unknown, Error::UnknownArch { nearest: "vit_small_patch16_224", .. }));
    let nothing = ModelSpec::default().resolve().unwrap_err();
    assert!(matches!(nothing, Error::Setting { setting: "arch", .. }));
    let missing = Model::open("no/such/file.safetensors", &device).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    let reference = Model::open("hf-hub:not-a-name", &device).unwrap_err();
    assert!(matches!(reference, Error::Hub { .. }), "{reference}");
}

#[test]
fn departures_of_a_preparation_that_cannot_be_are_refused_by_name() {
    let own = *Model::new(tiny(), 0, &Device::cpu()).unwrap().preprocess();
    let refused = |set: &dyn Fn(&mut PreprocessOptions)| {
        let mut options = PreprocessOptions::default();
        set(&mut options);
        match options.over(own).unwrap_err() {
            Error::Setting { setting, .. } => setting,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(&|options| options.crop_pct = Some(0.0)), "crop_pct");
    assert_eq!(refused(&|options| options.crop_pct = Some(f64::NAN)), "crop_pct");
    assert_eq!(refused(&|options| options.mean = Some([f32::INFINITY, 0.0, 0.0])), "mean");
    assert_eq!(refused(&|options| options.std = Some([0.0, 1.0, 1.0])), "std");
}

#[test]
fn a_model_is_exported_without_its_head_and_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::new(tiny(), 0, &Device::cpu()).unwrap().without_head();
    let out = folder.path().join("model.onnx");
    let exported = model.export_to(Format::Onnx, &out).unwrap();
    assert_eq!(exported.files.len(), 1);
    assert_eq!(fs::metadata(&out).unwrap().len(), exported.files[0].1);
    assert!(!fs::read(&out).unwrap().windows(6).any(|bytes| bytes == b"logits"));
    let again = model.export_to(Format::Onnx, &out).unwrap_err();
    assert!(matches!(&again, Error::Exists { path } if *path == out), "{again}");
    let mut options = ExportOptions::default();
    options.replace = true;
    options.dtype = WeightDtype::F16;
    let halved = model.export_with(Format::Onnx, &out, &options).unwrap();
    assert!(halved.files[0].1 < exported.files[0].1);
}

#[test]
fn a_runs_folder_opens_as_its_student_and_exports_with_the_runs_card() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    Model::new(tiny(), 0, &device).unwrap().save(run.join("student.safetensors")).unwrap();
    let record =
        json!({ "command": "distill", "config": { "method": "kd", "kd": { "temperature": 4.0 } } });
    fs::write(run.join("run.json"), record.to_string()).unwrap();
    for reference in [run.to_owned(), run.join("student.safetensors")] {
        let out = run.join(format!("timm-{}", reference.is_dir()));
        Model::open(reference, &device).unwrap().export_to(Format::Timm, &out).unwrap();
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains("knowledge distillation") && !card.contains("SiNGER"), "{card}");
    }
}

#[test]
fn a_device_opens_by_name_or_says_what_is_known() {
    assert!(Device::open("cpu").unwrap().is_cpu());
    let error = Device::open("tpu").unwrap_err();
    assert!(matches!(&error, Error::Device { wanted, .. } if wanted == "tpu"));
    assert!(error.to_string().contains("known are auto, cpu, gpu, gpu:N and software"), "{error}");
    let ones = Tensor::<1>::from_data(TensorData::new(vec![1f32, 1.0], [2]), Device::cpu().burn());
    assert_eq!(readback::read(ones).unwrap(), [1.0, 1.0]);
}
