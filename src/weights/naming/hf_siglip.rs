use super::To::{FirstAndRest, Is, LeftOut, Outside, Tokens};
use super::hf_clip::{CLASSIFIER, ENCODER};
use super::{NOTHING_USUAL, Naming, Usual};
use crate::vit::{Activation, Statistics};

/// `SiglipVisionModel`, `SiglipModel` and `SiglipForImageClassification` of
/// transformers, also with the weights of SigLIP 2 for images of one size.
pub(super) const NAMING: Naming = Naming {
    title: "transformers' SigLIP",
    prefixes: &["vision_model.", ""],
    marks: &["embeddings.patch_embedding.weight"],
    counter: None,
    rules: &[
        &[
            ("head.probe", Tokens("attn_pool.latent")),
            (
                "head.attention.in_proj_weight",
                FirstAndRest("attn_pool.q.weight", "attn_pool.kv.weight"),
            ),
            ("head.attention.in_proj_bias", FirstAndRest("attn_pool.q.bias", "attn_pool.kv.bias")),
            ("head.attention.out_proj.*", Is("attn_pool.proj.*")),
            ("head.layernorm.*", Is("attn_pool.norm.*")),
            ("head.mlp.*", Is("attn_pool.mlp.*")),
        ],
        ENCODER,
    ],
    beside: &[
        ("classifier.*", LeftOut(CLASSIFIER)),
        ("text_model.*", Outside),
        ("logit_scale", Outside),
        ("logit_bias", Outside),
    ],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: Usual {
        mlp: Some(Activation::GeluTanh),
        statistics: Some(Statistics::Half),
        ..NOTHING_USUAL
    },
};
