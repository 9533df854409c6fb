use super::To::{Again, Is, Outside, Tokens};
use super::{NOTHING_USUAL, Naming, Usual, timm};
use crate::vit::Statistics;

/// <https://github.com/facebookresearch/dinov2>, also in training's chunks of
/// blocks, and UNIC (<https://github.com/naver/unic>), whose encoder is DINOv2's.
pub(super) const NAMING: Naming = Naming {
    title: "DINOv2",
    prefixes: &["", "encoder."],
    marks: &["mask_token", "register_tokens", "blocks.#.#.norm1.weight"],
    counter: None,
    rules: &[
        &[
            ("blocks.#.#.*", Again("blocks.#.*")),
            ("mask_token", Outside),
            ("register_tokens", Tokens("reg_token")),
            ("blocks.#.mlp.w12.*", Is("blocks.#.mlp.fc1.*")),
            ("blocks.#.mlp.w3.*", Is("blocks.#.mlp.fc2.*")),
        ],
        timm::RULES,
    ],
    // The ladder of projections to UNIC's teachers; heads of DINOv2's training.
    beside: &[("lp.*", Outside), ("dino_head.*", Outside), ("ibot_head.*", Outside)],
    folds_class_position: true,
    mlp_is_a_guess: false,
    usual: Usual { statistics: Some(Statistics::ImageNet), ..NOTHING_USUAL },
};
