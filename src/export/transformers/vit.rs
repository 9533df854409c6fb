use serde_json::json;

use super::{Class, Names, head_refused, labels, plain_blocks, reads_class_token, shape, without};
use crate::error::Result;
use crate::export::Exporter;

/// `ViTModel`, or `ViTForImageClassification` of a model with a head.
pub(super) fn class<'a>(exporter: &'a Exporter<'_>) -> Result<Class<'a>> {
    let model = exporter.config;
    without(exporter, &plain_blocks(model))?;
    let head = model.num_classes > 0;
    if head && !reads_class_token(model) {
        return Err(head_refused(exporter, "a head on pooled patches"));
    }
    let mut config = shape(model, "vit");
    config.insert("intermediate_size".into(), json!(model.hidden_dim()));
    config.insert("qkv_bias".into(), json!(true));
    let prefix = if head { "vit." } else { "" };
    let mut names = Names::new(exporter);
    let embeddings = format!("{prefix}embeddings");
    names.put(format!("{embeddings}.cls_token"), exporter.weights.copy("cls_token"));
    names.put(format!("{embeddings}.position_embeddings"), names.token_positions());
    names.layer(&format!("{embeddings}.patch_embeddings.projection"), "patch_embed.proj");
    for block in 0..model.depth {
        let (from, to) = (format!("blocks.{block}"), format!("{prefix}encoder.layer.{block}"));
        let attention = format!("{to}.attention");
        let thirds = ["query", "key", "value"].map(|kind| format!("{attention}.attention.{kind}"));
        names.layer(&format!("{to}.layernorm_before"), &format!("{from}.norm1"));
        names.thirds(thirds, &format!("{from}.attn.qkv"));
        names.layer(&format!("{attention}.output.dense"), &format!("{from}.attn.proj"));
        names.layer(&format!("{to}.layernorm_after"), &format!("{from}.norm2"));
        names.layer(&format!("{to}.intermediate.dense"), &format!("{from}.mlp.fc1"));
        names.layer(&format!("{to}.output.dense"), &format!("{from}.mlp.fc2"));
    }
    names.layer(&format!("{prefix}layernorm"), "norm");
    names.layer("classifier", "head");
    if head {
        labels(&mut config, model.num_classes);
    }
    Ok(Class {
        name: if head { "ViTForImageClassification" } else { "ViTModel" },
        config,
        tensors: names.tensors,
        // Its pooler is a layer that timm's model does not have.
        extra_argument: (!head).then_some("add_pooling_layer=False"),
        answer: if head { ("logits", "[1, classes]") } else { ("last_hidden_state", "[1, T, D]") },
        processor: "BitImageProcessor",
        notes: Vec::new(),
    })
}
