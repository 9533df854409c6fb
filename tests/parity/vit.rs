use burn::tensor::{DType, Device, Tensor};
use serde_json::Value;
use singer::frozen::FrozenVit;
use singer::vit::Precision;

use crate::golden::{Golden, cases, gpu, load_vit, vit_config};

/// What must be there: a golden folder may not lack a family.
const FAMILIES: [&str; 24] = [
    "vit_augreg",
    "vit_rect",
    "deit3",
    "dinov2",
    "dinov2_reg4",
    "dinov2_swiglu",
    "clip_openai",
    "openclip",
    "siglip",
    "mae",
    "dinov3",
    "dinov3_qkvb",
    "dinov3_plus",
    "tipsv2",
    "tipsv2_g",
    "lingbot_g",
    "pe_core",
    "pe_spatial",
    "pe_lang",
    "pe_g",
    "eva02",
    "eva02_norm",
    "eva02_clip",
    "radio",
];

fn families() -> Vec<(String, Value)> {
    let cases = cases("vit");
    for family in FAMILIES {
        assert!(
            cases.iter().any(|(_, json)| json["family"] == family),
            "no golden file of {family}"
        );
    }
    cases
}

fn every_block_and_the_output_equal_timm(device: &Device) {
    for (name, json) in families() {
        let weights = Golden::open(&format!("vit/{name}"));
        let io = Golden::open(&format!("vit/{name}.io"));
        let image = io.tensor::<4>("image", device);
        let [_, _, height, width] = image.dims();
        let config = vit_config(&weights, &json, [height, width]);
        let model = load_vit(&format!("vit/{name}"), &config, device);

        let mut differences = vec![io.assert_close("embed", model.embed(image.clone()), 1e-4)];
        let layers: Vec<usize> = (0..config.depth).collect();
        let blocks = model.intermediate(image.clone(), &layers);
        for (layer, tokens) in blocks.iter().enumerate() {
            let name = format!("block.{layer}");
            differences.push(io.assert_close(&name, tokens.clone(), 1e-4));
        }
        let features = model.forward_features(image.clone());
        differences.push(io.assert_close("final_norm", features, 1e-4));
        differences.push(io.assert_close("output", model.forward(image.clone()), 1e-4));
        let worst = differences.into_iter().fold(0.0, f64::max);
        println!("{name}, {device:?}: largest difference {worst:.2e}");

        let embedded = model.embed(image);
        let first = model.forward_blocks(embedded, 0..1);
        let resumed = model.forward_blocks(first, 1..config.depth);
        io.assert_close(&format!("block.{}", config.depth - 1), resumed, 1e-4);
    }
}

/// Products of halves round to 11 bits; nothing else is rounded.
fn every_block_with_products_in_f16_stays_within_half_a_percent(device: &Device) {
    if !device.supports_dtype(DType::F16) {
        println!("{device:?} has no f16");
        return;
    }
    for (name, json) in families() {
        let weights = Golden::open(&format!("vit/{name}"));
        let io = Golden::open(&format!("vit/{name}.io"));
        let image = io.tensor::<4>("image", device);
        let [_, _, height, width] = image.dims();
        let config = vit_config(&weights, &json, [height, width]);
        let model = load_vit(&format!("vit/{name}"), &config, device);
        let model = model.with_precision(Precision::F16);
        let layers: Vec<usize> = (0..config.depth).collect();
        let blocks = model.intermediate(image, &layers).into_iter();
        let relative = |(layer, tokens): (usize, Tensor<3>)| {
            let ours: Vec<f64> = tokens.into_data().iter::<f64>().collect();
            io.assert_relative(&format!("block.{layer}"), &ours, 5e-3)
        };
        let worst = blocks.enumerate().map(relative).fold(0.0, f64::max);
        println!("{name} in f16, {device:?}: largest relative difference {worst:.2e}");
        assert!(worst > 1e-5, "{name}: no product was in half precision");
    }
}

#[test]
fn a_frozen_model_by_shaders_equals_timm_in_every_block() {
    let opened = gpu();
    let mut by_shaders = 0;
    for (name, json) in families() {
        let weights = Golden::open(&format!("vit/{name}"));
        let io = Golden::open(&format!("vit/{name}.io"));
        let image = io.tensor::<4>("image", opened.burn());
        let [_, _, height, width] = image.dims();
        let config = vit_config(&weights, &json, [height, width]);
        let model = load_vit(&format!("vit/{name}"), &config, opened.burn());
        let frozen = FrozenVit::new(model, &opened).unwrap();
        by_shaders += usize::from(frozen.by_shaders());
        let layers: Vec<usize> = (0..config.depth).collect();
        let blocks = frozen.intermediate(image, &layers).unwrap();
        let close = |(layer, tokens)| io.assert_close(&format!("block.{layer}"), tokens, 1e-4);
        let worst = blocks.into_iter().enumerate().map(close).fold(0.0, f64::max);
        println!("{name}, shaders {}: largest difference {worst:.2e}", frozen.by_shaders());
    }
    assert!(by_shaders >= 24, "only {by_shaders} of the golden models were left to the shaders");
}

on_both_devices!(
    every_block_and_the_output_equal_timm,
    every_block_with_products_in_f16_stays_within_half_a_percent,
);
