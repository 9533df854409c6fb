use super::To::{Is, Outside, Part, Projection};
use super::{NOTHING_USUAL, Naming, Rule};

/// timm's names, also those of the original DINO, DeiT and DeiT III, and open_clip's
/// models with timm's image tower.
pub(super) const NAMING: Naming = Naming {
    title: "timm",
    prefixes: &["", "visual.trunk.", "model."],
    marks: &["patch_embed.proj.weight"],
    counter: None,
    rules: &[RULES],
    beside: &[
        ("visual.head.proj.weight", Projection("head.*")),
        ("text.*", Outside),
        ("logit_scale", Outside),
        ("logit_bias", Outside),
    ],
    folds_class_position: false,
    mlp_is_a_guess: true,
    usual: NOTHING_USUAL,
};

/// Also the last rules of namings that are timm's with exceptions.
pub(super) const RULES: &[Rule] = &[
    ("blocks.#.mlp.fc1_g.*", Part("blocks.#.mlp.fc1.*", 0)),
    ("blocks.#.mlp.fc1_x.*", Part("blocks.#.mlp.fc1.*", 1)),
    ("*", Is("*")),
];
