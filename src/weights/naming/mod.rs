//! The names under which ViTs are published, as tables of renames to timm's.
//!
//! A table says for each name what becomes of its tensor; [`translate`] picks the
//! table by names that only its models have. Everything that a table does not
//! mention keeps its name, so that loading reports it.

mod clip_original;
mod deit_distilled;
mod dinov2;
mod dinov3;
mod hf_clip;
mod hf_dinov2;
mod hf_dinov3;
mod hf_siglip;
mod hf_vit;
mod mae;
mod pattern;
mod timm;
mod translate;

pub(super) use translate::{Translated, translate};

use crate::vit::{Activation, Statistics};

/// The tables, the ones with the most particular marks first.
const NAMINGS: [&Naming; 13] = [
    &mae::NAMING,
    &dinov3::NAMING,
    &deit_distilled::NAMING,
    &dinov2::NAMING,
    &timm::NAMING,
    &clip_original::OPENAI,
    &clip_original::OPEN_CLIP,
    &hf_dinov2::NAMING,
    &hf_dinov3::NAMING,
    &hf_vit::DEIT,
    &hf_vit::VIT,
    &hf_clip::NAMING,
    &hf_siglip::NAMING,
];

/// One way to name a ViT's tensors.
#[derive(Debug)]
pub(super) struct Naming {
    /// Whose names they are.
    pub(super) title: &'static str,
    /// What may stand before all of the ViT's names; the first that fits counts.
    prefixes: &'static [&'static str],
    /// Patterns of which one, behind the prefix, marks this naming.
    marks: &'static [&'static str],
    /// A counter that must be there too.
    counter: Option<&'static str>,
    /// Of the names behind the prefix; the first that fits counts.
    rules: &'static [&'static [Rule]],
    /// Of the names that do not begin with the prefix.
    beside: &'static [Rule],
    /// Whether register tokens stand before positions that count the class token
    /// alone. timm has no such models: it adds the class token's position to the
    /// token itself.
    folds_class_position: bool,
    /// Whether models of this naming differ in their MLPs' activation.
    pub(super) mlp_is_a_guess: bool,
    /// What the published models have where no config says it.
    pub(super) usual: Usual,
}

/// What a naming's models usually have and their tensors do not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    pub(super) norm_eps: Option<f64>,
    pub(super) mlp: Option<Activation>,
    pub(super) statistics: Option<Statistics>,
}

/// Nothing but what the family or a preset says.
const NOTHING_USUAL: Usual = Usual { norm_eps: None, mlp: None, statistics: None };

/// A pattern of names and what becomes of their tensors.
type Rule = (&'static str, To);

/// What becomes of a tensor; names are patterns that take the gaps of the rule's.
#[derive(Debug, Clone, Copy)]
enum To {
    /// The tensor with this name.
    Is(&'static str),
    /// A token or positions: as [`To::Is`], with axes of one in front up to `[1, N, D]`.
    Tokens(&'static str),
    /// The rows at this place of the tensor with this name.
    Part(&'static str, usize),
    /// Three equal parts: the first has the one name, the others the other.
    FirstAndRest(&'static str, &'static str),
    /// A linear head `[C, D]` that has no bias.
    Projection(&'static str),
    /// The same, stored as `[D, C]`.
    TransposedProjection(&'static str),
    /// Another name of this naming, for which the rules are asked again.
    Again(&'static str),
    /// Says that the keys' third of the bias with this name is none.
    MasksKeys(&'static str),
    /// The periods of rotary positions, one for each four channels of a head.
    Periods,
    /// No part of the image's features: a decoder, a text tower, a mask token, ...
    Outside,
    /// A part that this program cannot use, which is said.
    LeftOut(&'static str),
}
