//! The names under which ViTs are published, as tables of renames to timm's.
//!
//! A table says for each name what to do with its tensor; [`choose`] picks the table by
//! names that only its models have. A name of the ViT that the table does not mention is
//! kept, so that loading reports it.

mod original;
mod place;
mod rules;
mod transformers;
mod translate;

pub(super) use place::{Ambiguous, Choice, Place, choose};
pub(super) use rules::fit;
pub(super) use translate::{Translated, unknown};
