use std::ops::Range;
use std::path::Path;

use super::{Scenes, Split};
use crate::error::{Error, Result};

/// Seed of the procedural scenes, the same for everybody.
const SCENES_SEED: u64 = 2026;
/// Scenes between the beginnings of two splits, and most of one.
const SPLIT_STEP: usize = 1_000_000;

/// Takes a place apart: `imagenet:/path` into `imagenet` and `/path`, where
/// `known` has the former. None for a plain path, also one with a colon in it.
pub(super) fn kind<'a>(place: &'a str, known: &[&str]) -> Option<(&'a str, &'a Path)> {
    let (kind, path) = place.split_once(':')?;
    known.contains(&kind).then(|| (kind, Path::new(path)))
}

/// The scenes that `scenes:N` or `scenes:A-B` names; none for any other place.
/// `scenes:N` are N scenes of the split, no two splits sharing any: for training
/// those from 0, for validation from a million, for the test from two. Those from
/// A to below B are what they are, whatever the split.
///
/// # Errors
/// [`Error::Config`] for other numbers.
pub fn scenes(place: &str, split: Split, side: usize) -> Result<Option<Scenes>> {
    let Some(numbers) = place.strip_prefix("scenes:") else { return Ok(None) };
    let range: Option<Range<usize>> = match numbers.split_once('-') {
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()).map(|(from, to)| from..to),
        None => {
            let first = match split {
                Split::Train | Split::TrainVal => 0,
                Split::Val => SPLIT_STEP,
                Split::Test => 2 * SPLIT_STEP,
            };
            let count = numbers.parse().ok().filter(|&count| count <= SPLIT_STEP);
            count.map(|count: usize| first..first + count)
        }
    };
    match range {
        Some(range) if !range.is_empty() => Ok(Some(Scenes::new(SCENES_SEED, range, side as u32))),
        _ => Err(Error::config(format!(
            "{place}: write scenes:N for N procedural scenes, at most {SPLIT_STEP}, or scenes:A-B for those from A to below B"
        ))),
    }
}
