use serde_json::{Value, json};

use super::{Class, Names, head_refused, labels, plain_blocks, refused, shape, without};
use crate::error::Result;
use crate::export::Exporter;
use crate::export::tensors::LazyTensor;
use crate::vit::Pooling;

/// `SiglipVisionModel`, or `SiglipForImageClassification` of a model with a head on
/// the patches' mean.
pub(super) fn class<'a>(exporter: &'a Exporter<'_>) -> Result<Class<'a>> {
    let model = exporter.config;
    let [height, width] = model.img_size;
    without(exporter, &plain_blocks(model))?;
    without(exporter, &[(height != width, "images that are not square")])?;
    let pooled = match model.pooling {
        Pooling::Attention => true,
        Pooling::Mean => false,
        Pooling::Token => return Err(refused(exporter, "no class token and no pooling")),
    };
    let head = model.num_classes > 0;
    if head && pooled {
        return Err(head_refused(exporter, "a head on attention pooling"));
    }
    let mut tower_config = shape(model, "siglip_vision_model");
    tower_config.insert("intermediate_size".into(), json!(model.hidden_dim()));
    tower_config.insert("vision_use_head".into(), json!(pooled));

    let (weights, dim) = (&exporter.weights, model.embed_dim);
    let mut names = Names::new(exporter);
    let tower = "vision_model";
    let embeddings = format!("{tower}.embeddings");
    let positions = weights.shaped("pos_embed", vec![model.patches(), dim]);
    names.put(format!("{embeddings}.position_embedding.weight"), positions);
    names.layer(&format!("{embeddings}.patch_embedding"), "patch_embed.proj");
    names.tower(tower);
    if pooled {
        let (from, to) = ("attn_pool", format!("{tower}.head"));
        names.put(format!("{to}.probe"), weights.copy(&format!("{from}.latent")));
        for end in ["weight", "bias"] {
            let fused = ["q", "kv"].map(|part| weights.copy(&format!("{from}.{part}.{end}")));
            let fused = LazyTensor::stacked(fused.into());
            names.put(format!("{to}.attention.in_proj_{end}"), fused);
        }
        names.layer(&format!("{to}.attention.out_proj"), &format!("{from}.proj"));
        names.layer(&format!("{to}.layernorm"), &format!("{from}.norm"));
        names.layer(&format!("{to}.mlp.fc1"), &format!("{from}.mlp.fc1"));
        names.layer(&format!("{to}.mlp.fc2"), &format!("{from}.mlp.fc2"));
    }
    let mut config = tower_config;
    if head {
        names.layer("classifier", "head");
        let tower = Value::Object(std::mem::take(&mut config));
        config.insert("model_type".into(), json!("siglip"));
        config.insert("vision_config".into(), tower);
        labels(&mut config, model.num_classes);
    }
    Ok(Class {
        name: if head { "SiglipForImageClassification" } else { "SiglipVisionModel" },
        config,
        tensors: names.tensors,
        extra_argument: None,
        answer: match (head, pooled) {
            (true, _) => ("logits", "[1, classes]"),
            (false, true) => ("pooler_output", "[1, D]"),
            (false, false) => ("last_hidden_state", "[1, T, D]"),
        },
        processor: "BitImageProcessor",
        notes: Vec::new(),
    })
}
