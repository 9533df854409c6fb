use super::To::{Is, Outside, Tokens, TransposedProjection};
use super::{NOTHING_USUAL, Naming, Rule, Usual};
use crate::vit::{Activation, Statistics};

/// OpenAI's CLIP, <https://github.com/openai/CLIP>: the state dictionary of its
/// TorchScript archives.
pub(super) const OPENAI: Naming = Naming {
    title: "OpenAI's CLIP",
    counter: Some("input_resolution"),
    mlp_is_a_guess: false,
    usual: Usual {
        mlp: Some(Activation::QuickGelu),
        statistics: Some(Statistics::Clip),
        ..NOTHING_USUAL
    },
    ..OPEN_CLIP
};

/// open_clip, <https://github.com/mlfoundations/open_clip>, whole or the image
/// tower alone. Saved anew, OpenAI's CLIP has the same names.
pub(super) const OPEN_CLIP: Naming = Naming {
    title: "open_clip",
    prefixes: &["visual.", ""],
    marks: &["class_embedding"],
    counter: None,
    rules: &[TOWER],
    beside: TEXT,
    folds_class_position: false,
    mlp_is_a_guess: true,
    usual: NOTHING_USUAL,
};

const TOWER: &[Rule] = &[
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
const TEXT: &[Rule] = &[
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
