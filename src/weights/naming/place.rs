//! Where in a file the tensors of Vision Transformers are, and in whose naming.
//!
//! No list of prefixes is kept: marks of the namings are looked for behind every dot of
//! every name, and what stands before one is a prefix if the tensors behind it form a ViT.

use std::collections::BTreeMap;

use super::rules::{Naming, fit};
use super::translate::{NAMINGS, Translated, translate};
use crate::weights::contents::Contents;
use crate::weights::entry::Source;
use crate::weights::facts::Facts;

/// The most parts of a prefix: each is a place at which all tensors behind it are looked at.
const MAX_PARTS: usize = 12;

/// The tensors of one Vision Transformer in a file.
#[derive(Debug, Clone)]
pub(in crate::weights) struct Place {
    pub(super) naming: &'static Naming,
    /// What is before the names of the model, its head included.
    pub(in crate::weights) root: String,
    /// The naming's own prefix of the ViT behind it.
    pub(super) own: &'static str,
}

/// What of several models of one training a Vision Transformer is, the one that is wanted
/// first: what a training is done for is the average of its weights, which DINO's kin call
/// the teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Average,
    Teacher,
    Model,
    Student,
}

/// The Vision Transformer that is meant.
#[derive(Debug, Clone)]
pub(in crate::weights) struct Choice {
    pub(in crate::weights) place: Place,
    pub(in crate::weights) others: Vec<Place>,
}

/// Several Vision Transformers of which none is meant more than another.
#[derive(Debug, Clone)]
pub(in crate::weights) struct Ambiguous(pub(in crate::weights) Vec<Place>);

impl Ambiguous {
    /// Key and shape of each.
    pub(in crate::weights) fn described(&self, all: &Contents) -> Vec<String> {
        self.0.iter().filter_map(|place| place.describe(all).ok()).collect()
    }
}

impl Place {
    /// What is before the names of the ViT, its head left aside.
    pub(in crate::weights) fn prefix(&self) -> String {
        format!("{}{}", self.root, self.own)
    }

    /// The key that chooses it.
    pub(in crate::weights) fn key(&self) -> String {
        let prefix = if self.root.is_empty() { self.own } else { &self.root };
        prefix.trim_end_matches('.').to_owned()
    }

    /// What it is, for people; none where its prefix does not tell.
    pub(in crate::weights) fn role(&self) -> Option<&'static str> {
        match Role::of(&self.prefix())? {
            Role::Average => Some("the average of the weights (EMA)"),
            Role::Teacher => Some("the teacher"),
            Role::Student => Some("the student"),
            Role::Model => None,
        }
    }

    /// Gives timm's names to the tensors of its model, whose names are without the root.
    /// The error is the reason why they cannot be used.
    pub(in crate::weights) fn translate(&self, model: Contents) -> Result<Translated, String> {
        translate(model, self.naming, self.own)
    }

    /// Key and shape, where the tensors are a ViT's.
    fn describe(&self, all: &Contents) -> Result<String, String> {
        let translated = self.translate(all.under(&self.root))?;
        let Facts { embed_dim, depth, patch_size, .. } = Facts::of(&translated.tensors)?;
        let key = match self.key() {
            key if key.is_empty() => "names without a prefix".into(),
            key => key,
        };
        Ok(format!("{key} ({embed_dim} channels, {depth} blocks, patches of {patch_size})"))
    }

    /// Whether tensors are there that only a ViT has, although the whole is none.
    fn resembles_vit(&self, all: &Contents) -> bool {
        let parts = ["patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"];
        let has = |tensors: &BTreeMap<String, Source>| {
            parts.iter().any(|&part| tensors.contains_key(part))
        };
        self.translate(all.under(&self.root)).map_or(true, |found| has(&found.tensors))
    }
}

impl Choice {
    /// The tensors of the model, under names without the root. Other models among them are
    /// left out.
    pub(in crate::weights) fn contents(&self, all: &Contents) -> Contents {
        let prefix = self.place.prefix();
        let inner: Vec<String> = self.others.iter().map(Place::prefix).collect();
        let inner = inner.iter().filter(|other| !prefix.starts_with(other.as_str()));
        let inner: Vec<&str> =
            inner.filter_map(|other| other.strip_prefix(&self.place.root)).collect();
        let mut own = all.under(&self.place.root);
        own.tensors.retain(|name, _| !inner.iter().any(|other| name.starts_with(other)));
        own
    }
}

impl Role {
    /// By the words of a prefix; none for the state of an optimiser.
    fn of(prefix: &str) -> Option<Self> {
        let words = prefix.split(['.', '_', '-']).map(str::to_ascii_lowercase);
        let words: Vec<String> = words.collect();
        let has = |word: &str| words.iter().any(|own| own == word);
        Some(match () {
            () if has("optimizer") || has("optim") => return None,
            () if has("ema") => Self::Average,
            () if has("teacher") => Self::Teacher,
            () if has("student") => Self::Student,
            () => Self::Model,
        })
    }
}

/// The Vision Transformer that is meant among a file's: the one with this key, else by its
/// role. None where the tensors form none.
pub(in crate::weights) fn choose(
    all: &Contents,
    key: Option<&str>,
) -> Result<Option<Choice>, Ambiguous> {
    let (vits, parts): (Vec<Place>, Vec<Place>) = places(all)
        .into_iter()
        .filter(|place| Role::of(&place.prefix()).is_some())
        .partition(|place| place.describe(all).is_ok());
    let Some(role) = vits.iter().filter_map(|place| Role::of(&place.prefix())).min() else {
        // What is damaged or of another architecture is refused with the reason.
        let largest = parts
            .into_iter()
            .filter(|place| place.resembles_vit(all))
            .max_by_key(|place| all.under(&place.prefix()).tensors.len());
        return Ok(largest.map(|place| Choice { place, others: Vec::new() }));
    };
    let named = vits.iter().any(|place| Some(place.key().as_str()) == key);
    let (mut meant, others): (Vec<Place>, Vec<Place>) = vits.into_iter().partition(|place| {
        if named {
            Some(place.key().as_str()) == key
        } else {
            Role::of(&place.prefix()) == Some(role)
        }
    });
    if meant.len() > 1 {
        return Err(Ambiguous(meant));
    }
    Ok(meant.pop().map(|place| Choice { place, others }))
}

/// Every prefix in front of a naming's marks, with the first naming that has one there.
fn places(all: &Contents) -> Vec<Place> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for name in all.tensors.keys() {
        for (order, naming) in NAMINGS.iter().enumerate() {
            for mark in naming.marks.iter().filter(|mark| name.ends_with(ending(mark))) {
                for prefix in prefixes(name) {
                    if fit(mark, &name[prefix.len()..]).is_some() {
                        let root = place(prefix, naming).root;
                        let counted =
                            |counter: &str| all.bookkeeping.contains(&format!("{root}{counter}"));
                        let first = found.get(prefix).is_none_or(|&first| order < first);
                        if first && naming.counter.is_none_or(counted) {
                            found.insert(prefix, order);
                        }
                    }
                }
            }
        }
    }
    found.into_iter().map(|(prefix, order)| place(prefix, NAMINGS[order])).collect()
}

/// The text of a mark behind its last gap.
fn ending(mark: &str) -> &str {
    mark.rsplit(['#', '*']).next().unwrap_or(mark)
}

/// The beginnings of a name up to each of its first dots, the empty one first.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let ends = name.match_indices('.').take(MAX_PARTS).map(|(dot, _)| dot + 1);
    [0].into_iter().chain(ends).map(|end| &name[..end])
}

/// Cuts a prefix into the root and the longest own one of the naming.
fn place(prefix: &str, naming: &'static Naming) -> Place {
    let cut = |own: &&'static str| {
        let root = prefix.strip_suffix(*own)?;
        (root.is_empty() || root.ends_with('.')).then_some(root)
    };
    let own = naming.prefixes.iter().copied().filter(|own| cut(own).is_some());
    let own = own.max_by_key(|own| own.len()).unwrap_or_default();
    Place { naming, root: cut(&own).unwrap_or(prefix).to_owned(), own }
}
