//! The names under which ViTs are published, as tables of renames to timm's.
//!
//! A table says for each name what to do with its tensor; [`translate`] picks the table
//! by names that only its models have. A name that the table does not mention is kept,
//! so that loading reports it.

mod original;
mod rules;
mod transformers;
mod translate;

pub(super) use translate::{Translated, translate};
