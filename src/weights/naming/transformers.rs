//! The names of transformers' classes.

use super::rules::To::{Again, FirstAndRest, Is, LeftOut, Outside, Part, Projection, Tokens};
use super::rules::{Defaults, NO_DEFAULTS, Naming, Rule, TWO_HEADS};
use crate::vit::{Activation, Statistics};

/// `ViTModel`, `ViTForImageClassification`, `ViTMAEModel` and
/// `ViTMAEForPreTraining` of transformers; also what DeiT without a distillation
/// token is published as.
pub(super) const VIT: Naming = Naming {
    title: "transformers' ViT",
    prefixes: &["vit.", ""],
    marks: &["encoder.layer.#.layernorm_before.weight", "layers.#.layernorm_before.weight"],
    counter: None,
    rules: &[VIT_RULES],
    beside: &[("classifier.*", Is("head.*")), ("decoder.*", Outside)],
    folds_class_position: false,
    activation_varies: false,
    defaults: Defaults { norm_eps: Some(1e-12), ..NO_DEFAULTS },
};

/// `DeiTModel`, `DeiTForImageClassification` and
/// `DeiTForImageClassificationWithTeacher`, which all have a distillation token.
pub(super) const DEIT: Naming = Naming {
    title: "transformers' DeiT",
    prefixes: &["deit.", ""],
    marks: &["embeddings.distillation_token"],
    counter: None,
    rules: &[&[("embeddings.distillation_token", Tokens("reg_token"))], VIT_RULES],
    beside: &[
        ("classifier.*", Is("head.*")),
        ("cls_classifier.*", LeftOut(TWO_HEADS)),
        ("distillation_classifier.*", LeftOut(TWO_HEADS)),
    ],
    folds_class_position: false,
    activation_varies: false,
    defaults: Defaults { norm_eps: Some(1e-12), statistics: Some(Statistics::ImageNet), mlp: None },
};

const VIT_RULES: &[Rule] = &[
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
    // The names of version 5 in memory.
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

/// `Dinov2Model`, `Dinov2WithRegistersModel` and their classifiers of
/// transformers.
pub(super) const DINOV2: Naming = Naming {
    title: "transformers' DINOv2",
    prefixes: &["dinov2.", "dinov2_with_registers.", ""],
    marks: &["encoder.layer.#.layer_scale1.lambda1"],
    counter: None,
    rules: &[&[
        ("embeddings.cls_token", Tokens("cls_token")),
        ("embeddings.mask_token", Outside),
        ("embeddings.register_tokens", Tokens("reg_token")),
        ("embeddings.position_embeddings", Tokens("pos_embed")),
        ("embeddings.patch_embeddings.projection.*", Is("patch_embed.proj.*")),
        ("encoder.layer.#.norm1.*", Is("blocks.#.norm1.*")),
        ("encoder.layer.#.norm2.*", Is("blocks.#.norm2.*")),
        ("encoder.layer.#.attention.attention.query.*", Part("blocks.#.attn.qkv.*", 0)),
        ("encoder.layer.#.attention.attention.key.*", Part("blocks.#.attn.qkv.*", 1)),
        ("encoder.layer.#.attention.attention.value.*", Part("blocks.#.attn.qkv.*", 2)),
        ("encoder.layer.#.attention.output.dense.*", Is("blocks.#.attn.proj.*")),
        ("encoder.layer.#.layer_scale1.lambda1", Is("blocks.#.ls1.gamma")),
        ("encoder.layer.#.layer_scale2.lambda1", Is("blocks.#.ls2.gamma")),
        ("encoder.layer.#.mlp.fc1.*", Is("blocks.#.mlp.fc1.*")),
        ("encoder.layer.#.mlp.fc2.*", Is("blocks.#.mlp.fc2.*")),
        ("encoder.layer.#.mlp.weights_in.*", Is("blocks.#.mlp.fc1.*")),
        ("encoder.layer.#.mlp.weights_out.*", Is("blocks.#.mlp.fc2.*")),
        // The names of version 5 in memory.
        ("encoder.layer.#.attention.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
        ("encoder.layer.#.attention.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
        ("encoder.layer.#.attention.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
        ("encoder.layer.#.attention.o_proj.*", Is("blocks.#.attn.proj.*")),
        ("encoder.layer.#.mlp.gate_proj.*", Part("blocks.#.mlp.fc1.*", 0)),
        ("encoder.layer.#.mlp.up_proj.*", Part("blocks.#.mlp.fc1.*", 1)),
        ("encoder.layer.#.mlp.down_proj.*", Is("blocks.#.mlp.fc2.*")),
        ("layernorm.*", Is("norm.*")),
    ]],
    beside: &[(
        "classifier.*",
        LeftOut("its classifier, which reads the class token and the mean of the patches together"),
    )],
    folds_class_position: true,
    activation_varies: false,
    defaults: Defaults { statistics: Some(Statistics::ImageNet), ..NO_DEFAULTS },
};

/// `DINOv3ViTModel` of transformers.
pub(super) const DINOV3: Naming = Naming {
    title: "transformers' DINOv3",
    prefixes: &["", "dinov3_vit."],
    marks: &["layer.#.layer_scale1.lambda1", "model.layer.#.layer_scale1.lambda1"],
    counter: None,
    rules: &[&[
        // The names of version 5 in memory.
        ("model.layer.#.*", Again("layer.#.*")),
        ("embeddings.cls_token", Tokens("cls_token")),
        ("embeddings.mask_token", Outside),
        ("embeddings.register_tokens", Tokens("reg_token")),
        ("embeddings.patch_embeddings.*", Is("patch_embed.proj.*")),
        ("layer.#.norm1.*", Is("blocks.#.norm1.*")),
        ("layer.#.norm2.*", Is("blocks.#.norm2.*")),
        ("layer.#.attention.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
        ("layer.#.attention.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
        ("layer.#.attention.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
        ("layer.#.attention.o_proj.*", Is("blocks.#.attn.proj.*")),
        ("layer.#.layer_scale1.lambda1", Is("blocks.#.ls1.gamma")),
        ("layer.#.layer_scale2.lambda1", Is("blocks.#.ls2.gamma")),
        ("layer.#.mlp.gate_proj.*", Part("blocks.#.mlp.fc1.*", 0)),
        ("layer.#.mlp.up_proj.*", Part("blocks.#.mlp.fc1.*", 1)),
        ("layer.#.mlp.down_proj.*", Is("blocks.#.mlp.fc2.*")),
        ("norm.*", Is("norm.*")),
    ]],
    beside: &[],
    folds_class_position: false,
    activation_varies: false,
    defaults: NO_DEFAULTS,
};

/// `CLIPVisionModel`, `CLIPVisionModelWithProjection`, `CLIPModel` and
/// `CLIPForImageClassification` of transformers.
pub(super) const CLIP: Naming = Naming {
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
    activation_varies: true,
    defaults: Defaults { mlp: Some(Activation::QuickGelu), ..NO_DEFAULTS },
};

/// Why the classifiers of CLIP and SigLIP are left out.
const CLASSIFIER: &str =
    "its classifier, which reads the mean of the patches and not the image's embedding";

/// The names that CLIP and SigLIP share.
const ENCODER: &[Rule] = &[
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

/// `SiglipVisionModel`, `SiglipModel` and `SiglipForImageClassification` of
/// transformers, also with the weights of SigLIP 2 for images of one size.
pub(super) const SIGLIP: Naming = Naming {
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
    activation_varies: false,
    defaults: Defaults {
        mlp: Some(Activation::GeluTanh),
        statistics: Some(Statistics::Half),
        ..NO_DEFAULTS
    },
};
