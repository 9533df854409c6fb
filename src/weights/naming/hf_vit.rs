use super::To::{Again, Is, LeftOut, Outside, Part, Tokens};
use super::deit_distilled::TWO_HEADS;
use super::{NOTHING_USUAL, Naming, Rule, Usual};
use crate::vit::Statistics;

/// `ViTModel`, `ViTForImageClassification`, `ViTMAEModel` and
/// `ViTMAEForPreTraining` of transformers; also what DeiT without a distillation
/// token is published as.
pub(super) const VIT: Naming = Naming {
    title: "transformers' ViT",
    prefixes: &["vit.", ""],
    marks: &["encoder.layer.#.layernorm_before.weight", "layers.#.layernorm_before.weight"],
    counter: None,
    rules: &[RULES],
    beside: &[("classifier.*", Is("head.*")), ("decoder.*", Outside)],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: Usual { norm_eps: Some(1e-12), ..NOTHING_USUAL },
};

/// `DeiTModel`, `DeiTForImageClassification` and
/// `DeiTForImageClassificationWithTeacher`, which all have a distillation token.
pub(super) const DEIT: Naming = Naming {
    title: "transformers' DeiT",
    prefixes: &["deit.", ""],
    marks: &["embeddings.distillation_token"],
    counter: None,
    rules: &[&[("embeddings.distillation_token", Tokens("reg_token"))], RULES],
    beside: &[
        ("classifier.*", Is("head.*")),
        ("cls_classifier.*", LeftOut(TWO_HEADS)),
        ("distillation_classifier.*", LeftOut(TWO_HEADS)),
    ],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: Usual { norm_eps: Some(1e-12), statistics: Some(Statistics::ImageNet), mlp: None },
};

const RULES: &[Rule] = &[
    ("embeddings.cls_token", Tokens("cls_token")),
    ("embeddings.mask_token", Outside),
    ("embeddings.position_embeddings", Tokens("pos_embed")),
    ("embeddings.patch_embeddings.projection.*", Is("patch_embed.proj.*")),
    ("encoder.layer.#.layernorm_before.*", Is("blocks.#.norm1.*")),
    ("encoder.layer.#.layernorm_after.*", Is("blocks.#.norm2.*")),
    ("encoder.layer.#.attention.attention.query.*", Part("blocks.#.attn.qkv.*", 0)),
    ("encoder.layer.#.attention.attention.key.*", Part("blocks.#.attn.qkv.*", 1)),
    ("encoder.layer.#.attention.attention.value.*", Part("blocks.#.attn.qkv.*", 2)),
    ("encoder.layer.#.attention.output.dense.*", Is("blocks.#.attn.proj.*")),
    ("encoder.layer.#.intermediate.dense.*", Is("blocks.#.mlp.fc1.*")),
    ("encoder.layer.#.output.dense.*", Is("blocks.#.mlp.fc2.*")),
    // As version 5 names them in memory.
    ("layers.#.layernorm_before.*", Again("encoder.layer.#.layernorm_before.*")),
    ("layers.#.layernorm_after.*", Again("encoder.layer.#.layernorm_after.*")),
    ("layers.#.attention.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
    ("layers.#.attention.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
    ("layers.#.attention.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
    ("layers.#.attention.o_proj.*", Is("blocks.#.attn.proj.*")),
    ("layers.#.mlp.*", Is("blocks.#.mlp.*")),
    ("layernorm.*", Is("norm.*")),
    // A layer with tanh on the class token, which no published head reads.
    ("pooler.*", Outside),
];
