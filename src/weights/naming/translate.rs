//! A file's tensors under timm's names.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Naming, Rule, TWO_HEADS, To, fit};
use super::{original, transformers};
use crate::weights::contents::Contents;
use crate::weights::entry::{Entry, Source};

/// All namings, the ones with the most specific marks first.
pub(super) const NAMINGS: [&Naming; 16] = [
    &original::MAE,
    &original::DINOV3,
    &original::EVA02,
    &original::RADIO,
    &original::DEIT_DISTILLED,
    &original::DINOV2,
    &original::TIMM,
    &original::PERCEPTION,
    &original::OPENAI_CLIP,
    &original::OPEN_CLIP,
    &transformers::DINOV2,
    &transformers::DINOV3,
    &transformers::DEIT,
    &transformers::VIT,
    &transformers::CLIP,
    &transformers::SIGLIP,
];

/// Names that a message about an unknown naming shows.
const SHOWN: usize = 4;

/// Sides of C-RADIO's grid of positions.
const RADIO_SIDE: usize = 128;

/// The most renames of one name within its naming.
const MAX_AGAIN: usize = 2;

/// Parts between the final norm and the head, the tensors that must be there too, and what is
/// said of them.
const HEADS: [(&str, Option<&str>, &str); 3] = [
    (
        "fc_norm",
        Some("norm"),
        "its fc_norm and head, which read the mean of the patch tokens (timm's global_pool='avg')",
    ),
    (
        "pre_logits",
        None,
        "its head behind a further layer, pre_logits (timm's representation_size)",
    ),
    ("head_dist", None, TWO_HEADS),
];

/// A file's tensors under timm's names.
#[derive(Debug)]
pub(in crate::weights) struct Translated {
    pub(in crate::weights) naming: &'static Naming,
    pub(in crate::weights) tensors: BTreeMap<String, Source>,
    /// Channels of a head, where the file shows them.
    pub(in crate::weights) head_dim: Option<usize>,
    /// Parts of the model that were left out.
    pub(in crate::weights) left_out: BTreeSet<&'static str>,
    /// The names of tensors beside the ViT that its naming does not know.
    pub(in crate::weights) beside: Vec<String>,
}

/// Gives timm's names to the tensors of a model in a naming, whose ViT is under the prefix
/// `own`. Of the ViT, a tensor that the naming does not know keeps its own name. The error
/// is the reason why the tensors cannot be used.
pub(super) fn translate(
    contents: Contents,
    naming: &'static Naming,
    own: &str,
) -> Result<Translated, String> {
    let mut sorting = Sorting::default();
    let rules = naming.rules.iter().copied().flatten();
    for (name, entry) in contents.tensors {
        match name.strip_prefix(own) {
            Some(bare) => {
                if let Some(unknown) = sorting.sort(bare, entry, rules.clone())? {
                    sorting.add(name, Source::View(unknown))?;
                }
            }
            None => {
                if sorting.sort(&name, entry, naming.beside.iter())?.is_some() {
                    sorting.beside.push(name);
                }
            }
        }
    }
    sorting.finish(naming)
}

/// Why tensors with these names are of no use.
pub(in crate::weights) fn unknown(contents: &Contents) -> String {
    let count = contents.tensors.len();
    if count == 0 {
        return "it holds no tensors".into();
    }
    let shown: Vec<&str> = contents.tensors.keys().take(SHOWN).map(String::as_str).collect();
    let more = if count > SHOWN { ", ..." } else { "" };
    format!(
        "the names of its {count} tensors ({}{more}) are those of no Vision Transformer that is known here: timm's, transformers' and the original repositories' of ViT, DeiT, DINO, DINOv2, DINOv3, MAE, CLIP, SigLIP, EVA-02, Perception Encoder and C-RADIO",
        shown.join(", ")
    )
}

#[derive(Default)]
struct Sorting {
    tensors: BTreeMap<String, Source>,
    /// By name and place.
    parts: BTreeMap<String, BTreeMap<usize, Entry>>,
    masked: Vec<String>,
    head_dim: Option<usize>,
    left_out: BTreeSet<&'static str>,
    beside: Vec<String>,
    /// Whether positions are for images four times as wide as the model's.
    wide: bool,
}

impl Sorting {
    /// Applies the first rule that fits a tensor's name; without one gives the tensor back.
    fn sort<'r>(
        &mut self,
        name: &str,
        entry: Entry,
        rules: impl Iterator<Item = &'r Rule> + Clone,
    ) -> Result<Option<Entry>, String> {
        let mut name = name.to_owned();
        for _ in 0..=MAX_AGAIN {
            let rule = rules.clone().find_map(|(from, to)| Some((fit(from, &name)?, to)));
            let Some((gaps, to)) = rule else { break };
            let square = |what: &str| format!("{name} of shape {:?} {what}", entry.shape());
            match *to {
                To::Again(other) => {
                    name = gaps.fill(other);
                    continue;
                }
                To::Is(to) => self.add(gaps.fill(to), Source::View(entry))?,
                To::Tokens(to) => self.add(gaps.fill(to), Source::View(entry.with_rank(3)))?,
                To::Part(to, place) => {
                    let slot = self.parts.entry(gaps.fill(to)).or_default();
                    if slot.insert(place, entry).is_some() {
                        return Err(format!("{name} comes twice"));
                    }
                }
                To::FirstAndRest(first, rest) => {
                    let rows = entry.shape().first().copied().unwrap_or_default();
                    let third = rows / 3;
                    let cut = (rows % 3 == 0)
                        .then(|| Some((entry.rows(0..third)?, entry.rows(third..rows)?)));
                    let (head, tail) =
                        cut.flatten().ok_or_else(|| square("has no three equal parts"))?;
                    self.add(gaps.fill(first), Source::View(head))?;
                    self.add(gaps.fill(rest), Source::View(tail))?;
                }
                To::Patches(to) => {
                    let &[dim, pixels] = entry.shape() else { return Err(square("is no matrix")) };
                    let side = (pixels / 3).isqrt();
                    let kernel = entry.reshaped(vec![dim, 3, side, side]);
                    let kernel = kernel.ok_or_else(|| square("has no square patches"))?;
                    self.add(to.replace('*', "bias"), Source::Zeros(vec![dim]))?;
                    self.add(to.replace('*', "weight"), Source::View(kernel))?;
                }
                To::ClassAndRegisters(class, registers) => {
                    let count = entry.shape().first().copied().unwrap_or_default();
                    let cut = || Some((entry.rows(0..1)?, entry.rows(1..count)?));
                    let (first, rest) = cut().ok_or_else(|| square("has no rows"))?;
                    self.add(class.into(), Source::View(first.with_rank(3)))?;
                    self.add(registers.into(), Source::View(rest.with_rank(3)))?;
                }
                To::WidePositions(to) => {
                    self.wide = true;
                    self.add(gaps.fill(to), Source::View(entry.with_rank(3)))?;
                }
                To::Projection(to) => self.add_projection(to, entry)?,
                To::TransposedProjection(to) => {
                    let transposed = entry.transposed().ok_or_else(|| square("is no matrix"))?;
                    self.add_projection(to, transposed)?;
                }
                To::MasksKeys(bias) => self.masked.push(gaps.fill(bias)),
                To::Periods => self.head_dim = entry.shape().first().map(|count| 4 * count),
                To::Outside => {}
                To::LeftOut(what) => {
                    self.left_out.insert(what);
                }
            }
            return Ok(None);
        }
        Ok(Some(entry))
    }

    fn add(&mut self, name: String, source: Source) -> Result<(), String> {
        if self.tensors.contains_key(&name) {
            return Err(format!("two tensors stand for {name}"));
        }
        self.tensors.insert(name, source);
        Ok(())
    }

    /// A head without a bias; timm's has one.
    fn add_projection(&mut self, to: &str, entry: Entry) -> Result<(), String> {
        let rows = entry.shape().first().copied().unwrap_or_default();
        self.add(to.replace('*', "bias"), Source::Zeros(vec![rows]))?;
        self.add(to.replace('*', "weight"), Source::View(entry))
    }

    fn finish(mut self, naming: &'static Naming) -> Result<Translated, String> {
        for (name, mut parts) in std::mem::take(&mut self.parts) {
            let keyless = parts.contains_key(&0) && !parts.contains_key(&1);
            match name.strip_suffix("qkv.bias") {
                Some(owner) if keyless => {
                    for (place, part) in [(0, "q_bias"), (2, "v_bias")] {
                        if let Some(entry) = parts.remove(&place) {
                            self.add(format!("{owner}{part}"), Source::View(entry))?;
                        }
                    }
                }
                _ => {
                    let parts = parts.into_values().collect();
                    let whole =
                        Source::stack(parts).map_err(|reason| format!("{name}: {reason}"))?;
                    self.add(name, whole)?;
                }
            }
        }
        for name in std::mem::take(&mut self.masked) {
            self.without_keys(&name)?;
        }
        if naming.folds_class_position {
            self.fold_class_position();
        }
        self.narrow_positions();
        self.rename_gains()?;
        self.leave_heads_out();
        let Self { tensors, head_dim, left_out, beside, .. } = self;
        Ok(Translated { naming, tensors, head_dim, left_out, beside })
    }

    /// Takes the keys' third out of a bias: what a mask sets to zero.
    fn without_keys(&mut self, name: &str) -> Result<(), String> {
        let Some(Source::View(bias)) = self.tensors.remove(name) else { return Ok(()) };
        let rows = bias.shape().first().copied().unwrap_or_default();
        let third = rows / 3;
        let owner = name.trim_end_matches("qkv.bias");
        for (range, part) in [(0..third, "q_bias"), (rows - third..rows, "v_bias")] {
            let part_of = bias.rows(range).ok_or_else(|| format!("{name} has no rows"))?;
            self.add(format!("{owner}{part}"), Source::View(part_of))?;
        }
        Ok(())
    }

    /// Where there are register tokens, adds the class token's position to the
    /// class token, so that positions are left to the patches.
    fn fold_class_position(&mut self) {
        let (Some(Source::View(class)), Some(Source::View(positions)), true) = (
            self.tensors.get("cls_token"),
            self.tensors.get("pos_embed"),
            self.tensors.contains_key("reg_token"),
        ) else {
            return;
        };
        let &[1, count, width] = positions.shape() else { return };
        let flat = positions.without_first_axis();
        let (Some(first), Some(rest)) = (flat.rows(0..1), flat.rows(1..count)) else { return };
        if class.shape() == [1, 1, width] {
            let folded = Source::Sum(class.clone(), first);
            self.tensors.insert("cls_token".into(), folded);
            self.tensors.insert("pos_embed".into(), Source::View(rest.with_rank(3)));
        }
    }

    /// Leaves out heads that read more than the pooled tokens, with what they read.
    fn leave_heads_out(&mut self) {
        for (part, needs, what) in HEADS {
            let has =
                |owner: &str| self.tensors.keys().any(|name| name.split('.').next() == Some(owner));
            if has(part) && needs.is_none_or(has) {
                let owners = [part, "head"];
                self.tensors.retain(|name, _| {
                    !owners.iter().any(|&owner| name.split('.').next() == Some(owner))
                });
                self.left_out.insert(what);
            }
        }
    }

    /// C-RADIO's positions are for images of up to 2048 pixels, in timm's files too; at the
    /// 512 pixels of timm's model they are what RADIO makes of them there.
    fn narrow_positions(&mut self) {
        let rows = |name: &str| match self.tensors.get(name)?.shape().as_slice() {
            &[1, rows, width] => Some((rows, width)),
            _ => None,
        };
        let (Some((positions, _)), Some((registers, width))) =
            (rows("pos_embed"), rows("reg_token"))
        else {
            return;
        };
        let side = positions.isqrt();
        let of_timm =
            side == RADIO_SIDE && registers >= 7 && !self.tensors.contains_key("norm.weight");
        if !(self.wide || of_timm) || side * side != positions || !side.is_multiple_of(4) {
            return;
        }
        let Some(Source::View(positions)) = self.tensors.get("pos_embed").cloned() else { return };
        // As timm: the base and huge models of version 3 keep the corners in place.
        let align_corners = registers == 7 && matches!(width, 768 | 1280);
        let resampled = Source::Resampled { positions, from: side, to: side / 4, align_corners };
        self.tensors.insert("pos_embed".into(), resampled);
    }

    /// timm names LayerScale's gains by whether the model's positions are rotary: those of
    /// DINOv3, and of the Perception Encoder, which has a norm before its blocks and none after.
    fn rename_gains(&mut self) -> Result<(), String> {
        let has = |name: &str| self.tensors.contains_key(name);
        let rotary = !has("pos_embed") || has("norm_pre.weight") && !has("norm.weight");
        let pairs = [1, 2].map(|i| {
            let (own, bare) = (format!("blocks.#.ls{i}.gamma"), format!("blocks.#.gamma_{i}"));
            if rotary { (own, bare) } else { (bare, own) }
        });
        for (from, to) in &pairs {
            let found: Vec<(String, String)> = self
                .tensors
                .keys()
                .filter_map(|name| Some((name.clone(), fit(from, name)?.fill(to))))
                .collect();
            for (old, new) in found {
                if let Some(gain) = self.tensors.remove(&old) {
                    self.add(new, gain)?;
                }
            }
        }
        Ok(())
    }
}
