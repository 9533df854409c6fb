use super::To::{Is, MasksKeys, Outside, Part, Periods, Tokens};
use super::{NOTHING_USUAL, Naming, timm};

/// <https://github.com/facebookresearch/dinov3>.
pub(super) const NAMING: Naming = Naming {
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
            ("blocks.#.attn.qkv.bias_mask", MasksKeys("blocks.#.attn.qkv.bias")),
            ("blocks.#.mlp.w1.*", Part("blocks.#.mlp.fc1.*", 0)),
            ("blocks.#.mlp.w2.*", Part("blocks.#.mlp.fc1.*", 1)),
            ("blocks.#.mlp.w3.*", Is("blocks.#.mlp.fc2.*")),
        ],
        timm::RULES,
    ],
    beside: &[],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: NOTHING_USUAL,
};
