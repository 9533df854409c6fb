//! The names of timm and of the original repositories.

use super::rules::To::{
    Again, ClassAndRegisters, FirstAndRest, Is, LeftOut, MasksKeys, Outside, Part, Patches,
    Periods, Projection, Tokens, TransposedProjection, WidePositions,
};
use super::rules::{Defaults, NO_DEFAULTS, Naming, Rule, TWO_HEADS};
use crate::vit::{Activation, Statistics};

/// timm's names, also those of the original DINO, DeiT and DeiT III, and open_clip's
/// models with timm's image tower.
pub(super) const TIMM: Naming = Naming {
    title: "timm",
    prefixes: &["", "visual.trunk."],
    marks: &["patch_embed.proj.weight"],
    counter: None,
    rules: &[TIMM_RULES],
    beside: &[
        ("visual.head.proj.weight", Projection("head.*")),
        ("text.*", Outside),
        ("logit_scale", Outside),
        ("logit_bias", Outside),
    ],
    folds_class_position: false,
    activation_varies: true,
    defaults: NO_DEFAULTS,
};

/// The last rules also of namings that are timm's with exceptions.
const TIMM_RULES: &[Rule] = &[
    ("blocks.#.attn.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
    ("blocks.#.attn.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
    ("blocks.#.attn.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
    ("blocks.#.mlp.fc1_g.*", Part("blocks.#.mlp.fc1.*", 0)),
    ("blocks.#.mlp.fc1_x.*", Part("blocks.#.mlp.fc1.*", 1)),
    ("*", Is("*")),
];

/// DeiT with a distillation token, <https://github.com/facebookresearch/deit> and
/// timm. The token is to the blocks what a register token is.
pub(super) const DEIT_DISTILLED: Naming = Naming {
    title: "DeiT, distilled",
    prefixes: &[""],
    marks: &["dist_token"],
    counter: None,
    rules: &[
        &[
            ("dist_token", Tokens("reg_token")),
            ("head.*", LeftOut(TWO_HEADS)),
            ("head_dist.*", LeftOut(TWO_HEADS)),
        ],
        TIMM_RULES,
    ],
    beside: &[],
    folds_class_position: false,
    activation_varies: false,
    defaults: Defaults { statistics: Some(Statistics::ImageNet), ..NO_DEFAULTS },
};

/// <https://github.com/facebookresearch/dinov2>, also in training's chunks of
/// blocks, and others with its encoder: UNIC (<https://github.com/naver/unic>), Franca
/// (<https://github.com/valeoai/Franca>) and TIPSv2 (<https://github.com/google-deepmind/tips>).
pub(super) const DINOV2: Naming = Naming {
    title: "DINOv2",
    prefixes: &["", "vision_encoder."],
    marks: &["mask_token", "register_tokens", "blocks.#.#.norm1.weight"],
    counter: None,
    rules: &[
        &[
            ("blocks.#.#.*", Again("blocks.#.*")),
            ("mask_token", Outside),
            ("dino_head.*", Outside),
            ("ibot_head.*", Outside),
            ("register_tokens", Tokens("reg_token")),
            ("blocks.#.mlp.w12.*", Is("blocks.#.mlp.fc1.*")),
            ("blocks.#.mlp.w3.*", Is("blocks.#.mlp.fc2.*")),
            // transformers writes TIPSv2 so.
            ("blocks.#.mlp.c_fc.*", Is("blocks.#.mlp.fc1.*")),
            ("blocks.#.mlp.c_proj.*", Is("blocks.#.mlp.fc2.*")),
        ],
        TIMM_RULES,
    ],
    // TIPSv2's text tower.
    beside: &[("text_encoder.*", Outside), ("temperature", Outside)],
    folds_class_position: true,
    activation_varies: false,
    defaults: Defaults { statistics: Some(Statistics::ImageNet), ..NO_DEFAULTS },
};

/// <https://github.com/facebookresearch/dinov3>, EUPE
/// (<https://github.com/facebookresearch/EUPE>) and LingBot-Vision
/// (<https://github.com/robbyant/lingbot-vision>), whose code is DINOv3's.
pub(super) const DINOV3: Naming = Naming {
    title: "DINOv3",
    prefixes: &[""],
    marks: &["storage_tokens", "rope_embed.periods"],
    counter: None,
    rules: &[
        &[
            ("storage_tokens", Tokens("reg_token")),
            ("mask_token", Outside),
            ("rope_embed.periods", Periods),
            // Of crops that only training has.
            ("local_cls_norm.*", Outside),
            // From EUPE's distillation.
            ("projectors.*", Outside),
            ("blocks.#.attn.qkv.bias_mask", MasksKeys("blocks.#.attn.qkv.bias")),
            ("blocks.#.mlp.w1.*", Part("blocks.#.mlp.fc1.*", 0)),
            ("blocks.#.mlp.w2.*", Part("blocks.#.mlp.fc1.*", 1)),
            ("blocks.#.mlp.w3.*", Is("blocks.#.mlp.fc2.*")),
        ],
        TIMM_RULES,
    ],
    beside: &[],
    folds_class_position: false,
    activation_varies: false,
    defaults: NO_DEFAULTS,
};

/// EVA-02, <https://github.com/baaivision/EVA>, also the image tower of its CLIP.
pub(super) const EVA02: Naming = Naming {
    title: "EVA-02",
    prefixes: &["", "visual."],
    marks: &["rope.freqs_cos", "blocks.#.attn.rope.freqs_cos", "blocks.#.mlp.ffn_ln.weight"],
    counter: None,
    rules: &[
        &[
            ("mask_token", Outside),
            ("lm_head.*", Outside),
            ("rope.*", Outside),
            ("blocks.#.attn.rope.*", Outside),
            ("blocks.#.attn.inner_attn_ln.*", Is("blocks.#.attn.norm.*")),
            ("blocks.#.mlp.ffn_ln.*", Is("blocks.#.mlp.norm.*")),
            ("blocks.#.mlp.w12.*", Is("blocks.#.mlp.fc1.*")),
            ("blocks.#.mlp.w1.*", Part("blocks.#.mlp.fc1.*", 0)),
            ("blocks.#.mlp.w2.*", Part("blocks.#.mlp.fc1.*", 1)),
            ("blocks.#.mlp.w3.*", Is("blocks.#.mlp.fc2.*")),
        ],
        TIMM_RULES,
    ],
    beside: &[("text.*", Outside), ("logit_scale", Outside)],
    folds_class_position: false,
    activation_varies: false,
    defaults: NO_DEFAULTS,
};

/// C-RADIO, <https://github.com/NVlabs/RADIO>, and `RadioModel` of transformers, which writes
/// the same names.
pub(super) const RADIO: Naming = Naming {
    title: "C-RADIO",
    prefixes: &[""],
    marks: &["patch_generator.embedder.weight"],
    counter: None,
    rules: &[
        &[
            ("patch_generator.embedder.weight", Patches("patch_embed.proj.*")),
            ("patch_generator.pos_embed", WidePositions("pos_embed")),
            ("patch_generator.cls_token.token", ClassAndRegisters("cls_token", "reg_token")),
            ("patch_generator.*", Outside),
            ("blocks.#.ls1.grandma", Is("blocks.#.ls1.gamma")),
            ("blocks.#.ls2.grandma", Is("blocks.#.ls2.gamma")),
            ("blocks.#.layer_scale1.lambda1", Is("blocks.#.ls1.gamma")),
            ("blocks.#.layer_scale2.lambda1", Is("blocks.#.ls2.gamma")),
            // Its features are the last block's.
            ("norm.*", Outside),
        ],
        TIMM_RULES,
    ],
    beside: &[],
    folds_class_position: false,
    activation_varies: false,
    defaults: NO_DEFAULTS,
};

/// <https://github.com/facebookresearch/mae> with its decoder; without it the
/// names are timm's.
pub(super) const MAE: Naming = Naming {
    title: "MAE",
    prefixes: &[""],
    marks: &["decoder_embed.weight"],
    counter: None,
    rules: &[&[("decoder_*", Outside), ("mask_token", Outside)], TIMM_RULES],
    beside: &[],
    folds_class_position: false,
    activation_varies: false,
    defaults: Defaults { statistics: Some(Statistics::ImageNet), ..NO_DEFAULTS },
};

/// OpenAI's CLIP, <https://github.com/openai/CLIP>: the state dictionary of its
/// TorchScript archives.
pub(super) const OPENAI_CLIP: Naming = Naming {
    title: "OpenAI's CLIP",
    counter: Some("input_resolution"),
    activation_varies: false,
    defaults: Defaults {
        mlp: Some(Activation::QuickGelu),
        statistics: Some(Statistics::Clip),
        ..NO_DEFAULTS
    },
    ..OPEN_CLIP
};

/// Perception Encoder, <https://github.com/facebookresearch/perception_models>: open_clip's
/// names, and an attention pool in its core models.
pub(super) const PERCEPTION: Naming = Naming {
    title: "Perception Encoder",
    marks: &["attn_pool.probe"],
    rules: &[
        &[
            ("attn_pool.probe", Tokens("attn_pool.latent")),
            (
                "attn_pool.attn.in_proj_weight",
                FirstAndRest("attn_pool.q.weight", "attn_pool.kv.weight"),
            ),
            ("attn_pool.attn.in_proj_bias", FirstAndRest("attn_pool.q.bias", "attn_pool.kv.bias")),
            ("attn_pool.attn.out_proj.*", Is("attn_pool.proj.*")),
            ("attn_pool.layernorm.*", Is("attn_pool.norm.*")),
            ("attn_pool.mlp.c_fc.*", Is("attn_pool.mlp.fc1.*")),
            ("attn_pool.mlp.c_proj.*", Is("attn_pool.mlp.fc2.*")),
        ],
        CLIP_TOWER,
    ],
    activation_varies: false,
    ..OPEN_CLIP
};

/// open_clip, <https://github.com/mlfoundations/open_clip>, whole or the image
/// tower alone, and the Perception Encoder without an attention pool. Saved anew, OpenAI's CLIP
/// has the same names.
pub(super) const OPEN_CLIP: Naming = Naming {
    title: "open_clip",
    prefixes: &["visual.", ""],
    marks: &["class_embedding", "ln_pre.weight"],
    counter: None,
    rules: &[CLIP_TOWER],
    beside: CLIP_TEXT,
    folds_class_position: false,
    activation_varies: true,
    defaults: NO_DEFAULTS,
};

const CLIP_TOWER: &[Rule] = &[
    ("class_embedding", Tokens("cls_token")),
    ("positional_embedding", Tokens("pos_embed")),
    ("conv1.*", Is("patch_embed.proj.*")),
    ("ln_pre.*", Is("norm_pre.*")),
    ("ln_post.*", Is("norm.*")),
    ("proj", TransposedProjection("head.*")),
    ("transformer.resblocks.#.ln_1.*", Is("blocks.#.norm1.*")),
    ("transformer.resblocks.#.ln_2.*", Is("blocks.#.norm2.*")),
    ("transformer.resblocks.#.attn.in_proj_*", Is("blocks.#.attn.qkv.*")),
    ("transformer.resblocks.#.attn.out_proj.*", Is("blocks.#.attn.proj.*")),
    ("transformer.resblocks.#.mlp.c_fc.*", Is("blocks.#.mlp.fc1.*")),
    ("transformer.resblocks.#.mlp.c_proj.*", Is("blocks.#.mlp.fc2.*")),
    ("transformer.resblocks.#.ls_1.gamma", Is("blocks.#.ls1.gamma")),
    ("transformer.resblocks.#.ls_2.gamma", Is("blocks.#.ls2.gamma")),
];

/// The text tower and the scale of the similarities.
const CLIP_TEXT: &[Rule] = &[
    ("transformer.*", Outside),
    ("text.*", Outside),
    ("token_embedding.weight", Outside),
    ("positional_embedding", Outside),
    ("ln_final.*", Outside),
    ("text_projection", Outside),
    ("text_projection.*", Outside),
    ("attn_mask", Outside),
    ("logit_scale", Outside),
    ("logit_bias", Outside),
    ("input_resolution", Outside),
    ("context_length", Outside),
    ("vocab_size", Outside),
];
