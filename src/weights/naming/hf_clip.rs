use super::To::{Is, LeftOut, Outside, Part, Projection, Tokens};
use super::{NOTHING_USUAL, Naming, Rule, Usual};
use crate::vit::Activation;

/// `CLIPVisionModel`, `CLIPVisionModelWithProjection`, `CLIPModel` and
/// `CLIPForImageClassification` of transformers.
pub(super) const NAMING: Naming = Naming {
    title: "transformers' CLIP",
    prefixes: &["vision_model.", ""],
    marks: &["embeddings.class_embedding"],
    counter: None,
    rules: &[
        &[
            ("embeddings.class_embedding", Tokens("cls_token")),
            // The misspelling is theirs.
            ("pre_layrnorm.*", Is("norm_pre.*")),
        ],
        ENCODER,
    ],
    beside: &[
        ("visual_projection.weight", Projection("head.*")),
        ("classifier.*", LeftOut(CLASSIFIER)),
        ("text_model.*", Outside),
        ("text_projection.weight", Outside),
        ("logit_scale", Outside),
    ],
    folds_class_position: false,
    mlp_is_a_guess: true,
    usual: Usual { mlp: Some(Activation::QuickGelu), ..NOTHING_USUAL },
};

/// Why the classifiers of CLIP and SigLIP are left out.
pub(super) const CLASSIFIER: &str =
    "its classifier, which reads the mean of the patches and not the image's embedding";

/// What CLIP and SigLIP name alike.
pub(super) const ENCODER: &[Rule] = &[
    ("embeddings.position_embedding.weight", Tokens("pos_embed")),
    ("embeddings.position_ids", Outside),
    ("embeddings.patch_embedding.*", Is("patch_embed.proj.*")),
    ("encoder.layers.#.layer_norm1.*", Is("blocks.#.norm1.*")),
    ("encoder.layers.#.layer_norm2.*", Is("blocks.#.norm2.*")),
    ("encoder.layers.#.self_attn.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
    ("encoder.layers.#.self_attn.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
    ("encoder.layers.#.self_attn.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
    ("encoder.layers.#.self_attn.out_proj.*", Is("blocks.#.attn.proj.*")),
    ("encoder.layers.#.mlp.*", Is("blocks.#.mlp.*")),
    ("post_layernorm.*", Is("norm.*")),
];
