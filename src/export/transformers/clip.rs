use serde_json::json;

use super::{Class, Names, head_refused, plain_blocks, reads_class_token, refused, shape, without};
use crate::error::Result;
use crate::export::Exporter;

/// `CLIPVisionModel`, or `CLIPVisionModelWithProjection` of a model with a head,
/// which is the projection into CLIP's joint space and has no bias there.
pub(super) fn class<'a>(exporter: &'a Exporter<'_>) -> Result<Class<'a>> {
    let model = exporter.config;
    let [height, width] = model.img_size;
    without(exporter, &plain_blocks(model))?;
    let others = [
        (height != width, "images that are not square"),
        (!model.class_token || model.no_embed_class, "no class token or none with a position"),
    ];
    without(exporter, &others)?;
    let weights = &exporter.weights;
    let head = model.num_classes > 0;
    if head {
        let bias = weights.read("head.bias").map_err(|reason| refused(exporter, &reason))?;
        if !reads_class_token(model) || bias.iter().any(|&value| value != 0.0) {
            return Err(head_refused(exporter, "a head that has biases or reads pooled patches"));
        }
    }
    let mut config = shape(model, "clip_vision_model");
    config.insert("intermediate_size".into(), json!(model.hidden_dim()));
    let outputs = if head { model.num_classes } else { model.embed_dim };
    config.insert("projection_dim".into(), json!(outputs));

    let dim = model.embed_dim;
    let mut names = Names::new(exporter);
    let tower = "vision_model";
    let embeddings = format!("{tower}.embeddings");
    names.put(format!("{embeddings}.class_embedding"), weights.shaped("cls_token", vec![dim]));
    let positions = weights.shaped("pos_embed", vec![model.tokens(), dim]);
    names.put(format!("{embeddings}.position_embedding.weight"), positions);
    names.layer(&format!("{embeddings}.patch_embedding"), "patch_embed.proj");
    // As it is spelt there.
    names.layer(&format!("{tower}.pre_layrnorm"), "norm_pre");
    names.tower(tower);
    if head {
        names.put("visual_projection.weight".into(), weights.copy("head.weight"));
    }
    Ok(Class {
        name: if head { "CLIPVisionModelWithProjection" } else { "CLIPVisionModel" },
        config,
        tensors: names.tensors,
        extra_argument: None,
        answer: if head {
            ("image_embeds", "[1, projection]")
        } else {
            ("pooler_output", "[1, D]")
        },
        processor: "CLIPImageProcessor",
        notes: vec![
            "its last_hidden_state is before the final norm, its pooler_output after it".to_owned(),
        ],
    })
}

impl Names<'_> {
    /// The blocks and the final norm of CLIP's and SigLIP's image towers.
    pub(super) fn tower(&mut self, tower: &str) {
        for block in 0..self.config.depth {
            let (from, to) = (format!("blocks.{block}"), format!("{tower}.encoder.layers.{block}"));
            let thirds = ["q", "k", "v"].map(|kind| format!("{to}.self_attn.{kind}_proj"));
            self.layer(&format!("{to}.layer_norm1"), &format!("{from}.norm1"));
            self.thirds(thirds, &format!("{from}.attn.qkv"));
            self.layer(&format!("{to}.self_attn.out_proj"), &format!("{from}.attn.proj"));
            self.layer(&format!("{to}.layer_norm2"), &format!("{from}.norm2"));
            self.layer(&format!("{to}.mlp.fc1"), &format!("{from}.mlp.fc1"));
            self.layer(&format!("{to}.mlp.fc2"), &format!("{from}.mlp.fc2"));
        }
        self.layer(&format!("{tower}.post_layernorm"), "norm");
    }
}
