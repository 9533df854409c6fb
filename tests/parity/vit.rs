use burn::tensor::Device;
use serde_json::Value;

use crate::golden::{Golden, cases, load_vit, vit_config};

/// The families that this crate has; others may lie in a golden folder.
fn families() -> Vec<(String, Value)> {
    let ours = ["vit_augreg", "vit_rect", "deit3"];
    let known: Vec<_> = cases("vit")
        .into_iter()
        .filter(|(_, json)| ours.iter().any(|family| json["family"] == *family))
        .collect();
    assert!(!known.is_empty(), "no golden file of a known family");
    known
}

fn every_block_and_the_output_equal_timm(device: &Device) {
    for (name, json) in families() {
        let weights = Golden::open(&format!("vit/{name}"));
        let io = Golden::open(&format!("vit/{name}.io"));
        let image = io.tensor::<4>("image", device);
        let [_, _, height, width] = image.dims();
        let config = vit_config(&weights, &json, [height, width]);
        let model = load_vit(&format!("vit/{name}"), &config, device);

        io.assert_close("embed", model.embed(image.clone()), 1e-4);
        let layers: Vec<usize> = (0..config.depth).collect();
        let blocks = model.intermediate(image.clone(), &layers);
        for (layer, tokens) in blocks.iter().enumerate() {
            io.assert_close(&format!("block.{layer}"), tokens.clone(), 1e-4);
        }
        io.assert_close("final_norm", model.forward_features(image.clone()), 1e-4);
        io.assert_close("output", model.forward(image.clone()), 1e-4);

        let embedded = model.embed(image);
        let first = model.forward_blocks(embedded, 0..1);
        let resumed = model.forward_blocks(first, 1..config.depth);
        io.assert_close(&format!("block.{}", config.depth - 1), resumed, 1e-4);
    }
}

on_both_devices!(every_block_and_the_output_equal_timm);
