use super::To::{LeftOut, Tokens};
use super::{NOTHING_USUAL, Naming, Usual, timm};
use crate::vit::Statistics;

/// Why both heads of a distilled DeiT are left out.
pub(super) const TWO_HEADS: &str =
    "its two heads, whose mean is its answer, one of the class and one of the distillation token";

/// DeiT with a distillation token, <https://github.com/facebookresearch/deit> and
/// timm. The token is to the blocks what a register token is.
pub(super) const NAMING: Naming = Naming {
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
        timm::RULES,
    ],
    beside: &[],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: Usual { statistics: Some(Statistics::ImageNet), ..NOTHING_USUAL },
};
