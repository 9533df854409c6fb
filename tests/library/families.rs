use std::path::Path;

use crate::normal;
use burn::tensor::{Device, Distribution, Tensor};
use serde_json::Value;
use singer::plant::{PlantSettings, plant};
use singer::refine::nullspace::Linearised;
use singer::tokens::patch_norms;
use singer::vit::{
    Activation, Pooling, Positions, QkvBias, VitConfig, init_weights, nearest_name, preset, presets,
};
use singer::{Error, weights};

/// What timm says of each preset; `tests/golden/presets.py` wrote it.
fn published() -> serde_json::Map<String, Value> {
    let path = "tests/golden/presets.json";
    match serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() {
        Value::Object(models) => models,
        other => panic!("not an object: {other}"),
    }
}

fn tiny() -> VitConfig {
    VitConfig {
        img_size: [16, 24],
        patch_size: 8,
        embed_dim: 16,
        depth: 2,
        num_heads: 2,
        ..VitConfig::default()
    }
}

fn siglip() -> VitConfig {
    VitConfig { class_token: false, pooling: Pooling::Attention, num_classes: 3, ..tiny() }
}

fn dinov3() -> VitConfig {
    VitConfig {
        reg_tokens: 2,
        init_values: Some(0.5),
        qkv_bias: QkvBias::QueryValue,
        positions: Positions::Rotary { temperature: 100.0 },
        pooling: Pooling::Mean,
        ..tiny()
    }
}

fn swiglu() -> VitConfig {
    VitConfig { mlp: Activation::Swiglu, ..tiny() }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn every_preset_has_timms_parameters_classes_and_preprocessing() {
    let published = published();
    assert_eq!(presets().len(), published.len());
    for preset in presets() {
        let timm = &published[preset.name];
        let config = preset.config();
        let number = |key: &str| timm[key].as_f64().unwrap();
        assert_eq!(config.num_params().unwrap() as f64, number("parameters"), "{}", preset.name);
        assert_eq!(config.norm_eps, number("norm_eps"), "{}", preset.name);
        assert_eq!(config.num_classes as f64, number("num_classes"), "{}", preset.name);
        assert_eq!(config.num_heads as f64, number("num_heads"), "{}", preset.name);
        assert_eq!(config.img_size[0] as f64, number("img_size"), "{}", preset.name);
        assert_eq!(format!("{:?}", config.mlp), timm["mlp"].as_str().unwrap(), "{}", preset.name);
        assert_eq!(preset.crop_pct, number("crop_pct"), "{}", preset.name);
        assert_eq!(timm["interpolation"], preset.interpolation.name(), "{}", preset.name);
        assert_eq!(timm["crop_mode"], preset.crop_mode.name(), "{}", preset.name);
        let (mean, std) = preset.mean_std();
        for (ours, key) in [(mean, "mean"), (std, "std")] {
            for (ours, timm) in ours.iter().zip(timm[key].as_array().unwrap()) {
                assert_eq!(*ours, timm.as_f64().unwrap() as f32, "{key} of {}", preset.name);
            }
        }
    }
}

#[test]
fn a_tag_with_weights_of_its_own_kind_is_told_from_its_name() {
    let classes = |name: &str| preset(name).unwrap().config().num_classes;
    assert_eq!(classes("vit_base_patch16_224"), 1000);
    assert_eq!(classes("vit_base_patch16_224.augreg_in21k_ft_in1k"), 1000);
    assert_eq!(classes("vit_base_patch16_224.mae"), 0);
    assert_eq!(classes("vit_base_patch16_clip_224.openai"), 512);
    assert!(preset("vit_base_patch16_225.mae").is_none());
    assert_eq!(nearest_name("vit_base_patch14_dinov3"), "vit_base_patch16_dinov3");
}

#[test]
fn a_configuration_of_an_earlier_version_is_a_plain_vit() {
    let stored = r#"{"img_size":[224,224],"patch_size":16,"embed_dim":192,"depth":12,"num_heads":3,
        "mlp_ratio":4.0,"num_classes":0,"reg_tokens":0,"no_embed_class":false,"init_values":null,
        "norm_eps":1e-6}"#;
    assert_eq!(serde_json::from_str::<VitConfig>(stored).unwrap(), VitConfig::default());
    let demo = Path::new("assets/demo-teacher.safetensors");
    let (arch, config) = weights::stored_config(demo).unwrap().unwrap();
    weights::load(demo, &arch, &config, &Device::flex()).unwrap();
}

#[test]
fn every_familys_file_holds_its_configuration_and_gives_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let clip = VitConfig { pre_norm: true, mlp: Activation::QuickGelu, ..tiny() };
    for (index, config) in [clip, siglip(), dinov3(), swiglu()].into_iter().enumerate() {
        let model = init_weights(config.build(&device).unwrap(), 5);
        let path = folder.path().join(format!("{index}.safetensors"));
        weights::save(&model, "tiny", &config, &path).unwrap();
        let (arch, stored) = weights::stored_config(&path).unwrap().unwrap();
        assert_eq!(stored, config);
        let loaded = weights::load(&path, &arch, &stored, &device).unwrap();
        let image = Tensor::<4>::random([2, 3, 16, 24], Distribution::Default, &device);
        assert_eq!(values(loaded.forward(image.clone())), values(model.forward(image)));
    }
}

#[test]
fn rotary_positions_follow_the_grid_and_leave_prefix_tokens_alone() {
    let device = Device::flex();
    let config = dinov3();
    let model = init_weights(config.build(&device).unwrap(), 7);
    let wide = VitConfig { img_size: [32, 40], ..config };
    let built = init_weights(wide.build(&device).unwrap(), 7);
    let moved = model.with_grid([2, 3], [4, 5]).unwrap();
    let image = Tensor::<4>::random([1, 3, 32, 40], Distribution::Default, &device);
    assert_eq!(values(moved.forward(image.clone())), values(built.forward(image)));
    assert!(model.with_grid([3, 3], [4, 5]).is_err(), "the model's grid is another");
    assert!(model.with_grid([2, 3], [0, 5]).is_err());
}

#[test]
fn shapes_that_cannot_work_are_errors() {
    let token = VitConfig { class_token: false, ..tiny() };
    let odd = VitConfig { mlp_ratio: 1.07, ..swiglu() };
    let heads = VitConfig { num_heads: 8, ..dinov3() };
    let cold = VitConfig { positions: Positions::Rotary { temperature: 0.0 }, ..tiny() };
    for config in [token, odd, heads, cold] {
        assert!(matches!(config.validate(), Err(Error::Setting { .. })), "{config:?}");
    }
}

#[test]
fn a_gated_block_is_linearised_through_its_values_alone() {
    let device = Device::flex();
    let model = init_weights(swiglu().build(&device).unwrap(), 2);
    let block = &model.blocks[0];
    let (fc1, fc2) = (values(block.mlp.fc1.weight.val()), values(block.mlp.fc2.weight.val()));
    let matrix = Linearised::of(block).to_rows();
    for i in 0..16 {
        for j in 0..16 {
            let wanted: f64 =
                (0..32).map(|k| f64::from(fc1[i * 64 + 32 + k]) * f64::from(fc2[k * 16 + j])).sum();
            assert!((matrix[i * 16 + j] - wanted).abs() < 1e-12);
        }
    }
}

#[test]
fn nothing_is_planted_into_a_gated_block() {
    let device = Device::flex();
    let model = init_weights(swiglu().build(&device).unwrap(), 2);
    let image = Tensor::<4>::random([2, 3, 16, 24], Distribution::Default, &device);
    let settings = PlantSettings::default().with(|s| (s.strength, s.share, s.rank) = (6.0, 0.1, 4));
    let error = plant(model, &[image], &settings).unwrap_err();
    assert!(error.to_string().contains("gated"), "{error}");
}

#[test]
fn layer_scale_does_not_weaken_what_is_planted() {
    let device = Device::flex();
    let config = VitConfig { init_values: Some(1e-2), ..tiny() };
    let model = init_weights(config.build(&device).unwrap(), 2);
    let image = normal([16, 3, 16, 24], 1.0, 8);
    let settings =
        PlantSettings::default().with(|s| (s.strength, s.share, s.rank) = (20.0, 0.1, 4));
    let (model, planted) = plant(model, std::slice::from_ref(&image), &settings).unwrap();
    let norms = patch_norms(model.intermediate(image, &[0]).remove(0), 1);
    let largest = f64::from(values(norms).into_iter().fold(0.0, f32::max));
    assert!(largest > 0.5 * planted.norm, "{largest} of {}", planted.norm);
}
