use serde_json::json;

use super::{Class, Names, head_refused, refused, shape};
use crate::error::Result;
use crate::export::Exporter;
use crate::export::tensors::LazyTensor;
use crate::vit::{Activation, QkvBias};

/// `DINOv3ViTModel`, whose class token is its pooled output; timm's mean of the
/// patches has no place in it.
pub(super) fn class<'a>(exporter: &'a Exporter<'_>, temperature: f64) -> Result<Class<'a>> {
    let model = exporter.config;
    if !model.class_token || model.pre_norm || model.init_values.is_none() {
        return Err(refused(
            exporter,
            "rotary positions and no class token, no LayerScale or a norm before block 0",
        ));
    }
    if model.num_classes > 0 {
        return Err(head_refused(exporter, "rotary positions and a head"));
    }
    let mut config = shape(model, "dinov3_vit");
    let gated = model.mlp == Activation::Swiglu;
    let inner = if gated { model.hidden_dim() / 2 } else { model.hidden_dim() };
    let biased = model.qkv_bias != QkvBias::None;
    let mut set = |key: &str, value: serde_json::Value| config.insert(key.to_owned(), value);
    set("intermediate_size", json!(inner));
    set("use_gated_mlp", json!(gated));
    set("rope_theta", json!(temperature));
    set("query_bias", json!(biased));
    set("key_bias", json!(model.qkv_bias == QkvBias::All));
    set("value_bias", json!(biased));
    set("proj_bias", json!(true));
    set("mlp_bias", json!(true));
    set("layerscale_value", json!(model.init_values.unwrap_or(1.0)));
    set("num_register_tokens", json!(model.reg_tokens));

    let weights = &exporter.weights;
    let dim = model.embed_dim;
    let mut names = Names::new(exporter);
    names.put("embeddings.cls_token".into(), weights.copy("cls_token"));
    names.put("embeddings.mask_token".into(), LazyTensor::zeros(vec![1, 1, dim]));
    let registers = match model.reg_tokens {
        0 => LazyTensor::zeros(vec![1, 0, dim]),
        _ => names.registers(),
    };
    names.put("embeddings.register_tokens".into(), registers);
    names.layer("embeddings.patch_embeddings", "patch_embed.proj");
    for block in 0..model.depth {
        let (from, to) = (format!("blocks.{block}"), format!("layer.{block}"));
        let thirds = ["q", "k", "v"].map(|kind| format!("{to}.attention.{kind}_proj"));
        names.layer(&format!("{to}.norm1"), &format!("{from}.norm1"));
        names.thirds(thirds, &format!("{from}.attn.qkv"));
        for kind in ["q", "v"] {
            let bias = format!("{from}.attn.{kind}_bias");
            if weights.has(&bias) {
                names.put(format!("{to}.attention.{kind}_proj.bias"), weights.copy(&bias));
            }
        }
        names.layer(&format!("{to}.attention.o_proj"), &format!("{from}.attn.proj"));
        names.layer(&format!("{to}.norm2"), &format!("{from}.norm2"));
        if gated {
            for end in ["weight", "bias"] {
                let fused = format!("{from}.mlp.fc1.{end}");
                let gate = weights.rows(&fused, 0..inner);
                names.put(format!("{to}.mlp.gate_proj.{end}"), gate);
                let value = weights.rows(&fused, inner..2 * inner);
                names.put(format!("{to}.mlp.up_proj.{end}"), value);
            }
        } else {
            names.layer(&format!("{to}.mlp.up_proj"), &format!("{from}.mlp.fc1"));
        }
        names.layer(&format!("{to}.mlp.down_proj"), &format!("{from}.mlp.fc2"));
        for branch in [1, 2] {
            let gain = weights.copy(&format!("{from}.gamma_{branch}"));
            names.put(format!("{to}.layer_scale{branch}.lambda1"), gain);
        }
    }
    names.layer("norm", "norm");
    Ok(Class {
        name: "DINOv3ViTModel",
        config,
        tensors: names.tensors,
        extra_argument: None,
        answer: ("last_hidden_state", "[1, T, D]"),
        processor: "BitImageProcessor",
        notes: Vec::new(),
    })
}
