//! Tables of renames: the names of one naming, as patterns, and what to do with each
//! tensor. A pattern has gaps: `#` stands for a number, a `*` at the end for the rest.

use crate::vit::{Activation, Statistics};

/// One way to name a ViT's tensors.
#[derive(Debug)]
pub(in crate::weights) struct Naming {
    /// The project whose names they are.
    pub(in crate::weights) title: &'static str,
    /// Prefixes of the ViT's names in models that have more than a ViT.
    pub(super) prefixes: &'static [&'static str],
    /// Patterns of names of the ViT; one that fits identifies this naming, whatever stands
    /// before it.
    pub(super) marks: &'static [&'static str],
    /// A tensor without weights that must be there too.
    pub(super) counter: Option<&'static str>,
    /// Rules for the ViT's names; the first that fits counts.
    pub(super) rules: &'static [&'static [Rule]],
    /// Rules for the model's names without the prefix; others are left out.
    pub(super) beside: &'static [Rule],
    /// Whether register tokens stand before positions that count the class token
    /// alone. timm has no such models: it adds the class token's position to the
    /// token itself.
    pub(super) folds_class_position: bool,
    /// Whether models of this naming differ in their MLPs' activation.
    pub(in crate::weights) activation_varies: bool,
    /// Of the published models, where no config says otherwise.
    pub(in crate::weights) defaults: Defaults,
}

/// Properties of a naming's published models that their tensors do not show.
#[derive(Debug, Clone, Copy)]
pub(in crate::weights) struct Defaults {
    pub(in crate::weights) norm_eps: Option<f64>,
    pub(in crate::weights) mlp: Option<Activation>,
    pub(in crate::weights) statistics: Option<Statistics>,
}

/// No defaults beyond the family's and the preset's.
pub(super) const NO_DEFAULTS: Defaults = Defaults { norm_eps: None, mlp: None, statistics: None };

/// A pattern of names and what to do with their tensors.
pub(super) type Rule = (&'static str, To);

/// What to do with a tensor. Names are patterns; their gaps are filled from the rule's.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// The tensor with this name.
    Is(&'static str),
    /// A token or positions: as [`To::Is`], with axes of one in front up to `[1, N, D]`.
    Tokens(&'static str),
    /// One of the blocks of rows, by this index, that make up the tensor with this name.
    Part(&'static str, usize),
    /// Three equal blocks of rows: the first gets the one name, the rest the other.
    FirstAndRest(&'static str, &'static str),
    /// A linear head `[C, D]` that has no bias.
    Projection(&'static str),
    /// The same, stored as `[D, C]`.
    TransposedProjection(&'static str),
    /// A linear layer on flat patches of three channels `[D, 3 p²]`: the convolution with
    /// this name, whose bias is zero.
    Patches(&'static str),
    /// Class and register tokens `[1 + R, D]`: the first gets the one name, the rest the other.
    ClassAndRegisters(&'static str, &'static str),
    /// Positions for images four times as wide as those of the model.
    WidePositions(&'static str),
    /// Another name of this naming; the rules are applied to it.
    Again(&'static str),
    /// A mask that zeroes the keys' third of the bias with this name.
    MasksKeys(&'static str),
    /// The periods of rotary positions, one per four channels of a head.
    Periods,
    /// Not needed for image features: a decoder, a text tower, a mask token, ...
    Outside,
    /// A part of the model that is not supported; the user is told.
    LeftOut(&'static str),
}

/// Why both heads of a distilled DeiT are left out.
pub(super) const TWO_HEADS: &str =
    "its two heads, whose mean is its answer, one of the class and one of the distillation token";

/// The text that filled a pattern's gaps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::weights) struct Gaps<'n> {
    /// The last number.
    number: &'n str,
    rest: &'n str,
}

/// The gaps' content, where the name fits the pattern.
pub(in crate::weights) fn fit<'n>(mut pattern: &str, mut name: &'n str) -> Option<Gaps<'n>> {
    let mut number = "";
    loop {
        let Some(at) = pattern.find(['#', '*']) else {
            return (name == pattern).then_some(Gaps { number, rest: "" });
        };
        name = name.strip_prefix(&pattern[..at])?;
        if pattern[at..].starts_with('*') {
            return Some(Gaps { number, rest: name });
        }
        let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        if end == 0 {
            return None;
        }
        (number, name) = name.split_at(end);
        pattern = &pattern[at + 1..];
    }
}

impl Gaps<'_> {
    /// A pattern with these in its gaps.
    pub(super) fn fill(self, pattern: &str) -> String {
        pattern.replace('#', self.number).replace('*', self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    fn renamed(pattern: &str, target: &str, name: &str) -> Option<String> {
        fit(pattern, name).map(|gaps| gaps.fill(target))
    }

    #[test]
    fn gaps_keep_the_last_number_and_the_rest() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(renamed("a.#.b.*", "x.#.y.*", "a.12.b.weight"), some("x.12.y.weight"));
        assert_eq!(renamed("a.#.#.*", "a.#.*", "a.0.7.q.bias"), some("a.7.q.bias"));
        assert_eq!(renamed("token", "cls", "token"), some("cls"));
        assert_eq!(renamed("decoder_*", "*", "decoder_embed.bias"), some("embed.bias"));
    }

    #[test]
    fn other_names_do_not_fit() {
        for (pattern, name) in
            [("a.#.b", "a.x.b"), ("a.#.b", "a..b"), ("a.b", "a.b.c"), ("a.b.*", "a.b"), ("a", "b")]
        {
            assert_eq!(fit(pattern, name), None, "{pattern} {name}");
        }
    }
}
