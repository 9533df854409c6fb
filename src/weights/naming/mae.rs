use super::To::Outside;
use super::{NOTHING_USUAL, Naming, Usual, timm};
use crate::vit::Statistics;

/// <https://github.com/facebookresearch/mae> with its decoder; without it the
/// names are timm's.
pub(super) const NAMING: Naming = Naming {
    title: "MAE",
    prefixes: &[""],
    marks: &["decoder_embed.weight"],
    counter: None,
    rules: &[&[("decoder_*", Outside), ("mask_token", Outside)], timm::RULES],
    beside: &[],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: Usual { statistics: Some(Statistics::ImageNet), ..NOTHING_USUAL },
};
