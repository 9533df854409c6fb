use serde_json::{Value, json};

use super::{Class, Names, head_refused, labels, reads_class_token, refused, shape};
use crate::error::Result;
use crate::export::Exporter;
use crate::export::tensors::LazyTensor;
use crate::vit::{Activation, VitConfig};

/// `Dinov2Model` or `Dinov2WithRegistersModel`, with `ForImageClassification` of a
/// model with a head. DeiT III is the same with a class token that has no position.
pub(super) fn class<'a>(exporter: &'a Exporter<'_>) -> Result<Class<'a>> {
    let model = exporter.config;
    let [height, width] = model.img_size;
    if height != width {
        return Err(refused(exporter, "positions on a grid that is not square"));
    }
    let head = model.num_classes > 0;
    if head && !reads_class_token(model) {
        return Err(head_refused(exporter, "a head on pooled patches"));
    }
    let registers = model.reg_tokens > 0;
    let model_type = if registers { "dinov2_with_registers" } else { "dinov2" };
    let mut config = shape(model, model_type);
    let ratio =
        mlp_ratio(model).ok_or_else(|| refused(exporter, "MLPs whose width DINOv2 cannot have"))?;
    config.insert("mlp_ratio".into(), json!(ratio));
    config.insert("use_swiglu_ffn".into(), json!(model.mlp == Activation::Swiglu));
    config.insert("qkv_bias".into(), json!(true));
    config.insert("layerscale_value".into(), json!(model.init_values.unwrap_or(1.0)));
    match registers {
        true => config.insert("num_register_tokens".into(), json!(model.reg_tokens)),
        false => config.insert("use_mask_token".into(), Value::Bool(false)),
    };
    // The gate's activation is fixed and this one is not read.
    if model.mlp == Activation::Swiglu {
        config.insert("hidden_act".into(), json!("gelu"));
    }

    let prefix = if head { format!("{model_type}.") } else { String::new() };
    let mut names = Names::new(exporter);
    let embeddings = format!("{prefix}embeddings");
    names.put(format!("{embeddings}.cls_token"), exporter.weights.copy("cls_token"));
    names.put(format!("{embeddings}.position_embeddings"), names.token_positions());
    if registers {
        names.put(format!("{embeddings}.register_tokens"), names.registers());
        let mask = LazyTensor::zeros(vec![1, model.embed_dim]);
        names.put(format!("{embeddings}.mask_token"), mask);
    }
    names.layer(&format!("{embeddings}.patch_embeddings.projection"), "patch_embed.proj");
    for block in 0..model.depth {
        let (from, to) = (format!("blocks.{block}"), format!("{prefix}encoder.layer.{block}"));
        let attention = format!("{to}.attention");
        let thirds = ["query", "key", "value"].map(|kind| format!("{attention}.attention.{kind}"));
        names.layer(&format!("{to}.norm1"), &format!("{from}.norm1"));
        names.thirds(thirds, &format!("{from}.attn.qkv"));
        names.layer(&format!("{attention}.output.dense"), &format!("{from}.attn.proj"));
        names.layer(&format!("{to}.norm2"), &format!("{from}.norm2"));
        let layers = match model.mlp {
            Activation::Swiglu => ["weights_in", "weights_out"],
            _ => ["fc1", "fc2"],
        };
        for (to_layer, layer) in layers.iter().zip(["fc1", "fc2"]) {
            names.layer(&format!("{to}.mlp.{to_layer}"), &format!("{from}.mlp.{layer}"));
        }
        for branch in [1, 2] {
            let gain = exporter.weights.copy(&format!("{from}.ls{branch}.gamma"));
            names.put(format!("{to}.layer_scale{branch}.lambda1"), gain);
        }
    }
    names.layer(&format!("{prefix}layernorm"), "norm");
    let mut notes = Vec::new();
    if head {
        labels(&mut config, model.num_classes);
        names.put("classifier.weight".into(), padded_head(exporter));
        names.put("classifier.bias".into(), exporter.weights.copy("head.bias"));
        notes.push(
            "its classifier also reads the patches' mean, here with weights of zero".to_owned(),
        );
    }
    Ok(Class {
        name: match (registers, head) {
            (false, false) => "Dinov2Model",
            (false, true) => "Dinov2ForImageClassification",
            (true, false) => "Dinov2WithRegistersModel",
            (true, true) => "Dinov2WithRegistersForImageClassification",
        },
        config,
        tensors: names.tensors,
        extra_argument: None,
        answer: if head { ("logits", "[1, classes]") } else { ("last_hidden_state", "[1, T, D]") },
        processor: "BitImageProcessor",
        notes,
    })
}

/// `[classes, 2 D]`: the class reads the class token and the patches' mean.
fn padded_head<'a>(exporter: &'a Exporter<'_>) -> LazyTensor<'a> {
    let dim = exporter.config.embed_dim;
    let weights = &exporter.weights;
    LazyTensor::new(vec![exporter.config.num_classes, 2 * dim], move || {
        let values = weights.read("head.weight")?;
        Ok(values.chunks(dim).flat_map(|row| [row, &vec![0.0; dim]].concat()).collect())
    })
}

/// The whole number from which DINOv2 has this model's MLPs; of gated ones it
/// takes two thirds, rounded up to a multiple of 8.
fn mlp_ratio(config: &VitConfig) -> Option<usize> {
    let hidden = config.hidden_dim();
    match config.mlp {
        Activation::Swiglu => (1..=64)
            .find(|ratio| (config.embed_dim * ratio * 2 / 3).next_multiple_of(8) == hidden / 2),
        _ => hidden.is_multiple_of(config.embed_dim).then_some(hidden / config.embed_dim),
    }
}
