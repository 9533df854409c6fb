//! How a user names images: a path, a published layout (`imagenet:PATH`), procedural
//! scenes (`scenes:N`), and the split of them.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use super::scenes::Scenes;
use crate::error::{Error, Result};

/// A split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For training.
    Train,
    /// For validation. A set without it gives [`Test`](Self::Test).
    Val,
    /// [`Train`](Self::Train) and [`Val`](Self::Val); a set without the latter gives the
    /// former.
    TrainVal,
    /// For the test. A set whose test labels are not published gives
    /// [`Val`](Self::Val).
    Test,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 4] = [Self::Train, Self::Val, Self::TrainVal, Self::Test];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::TrainVal => "trainval",
            Self::Test => "test",
        }
    }

    /// Usual names of the split's folder, the most likely first; one list for each split
    /// that it is made of.
    pub(super) fn folders(self) -> &'static [&'static [&'static str]] {
        const TRAIN: &[&str] = &["train", "training"];
        const VAL: &[&str] = &["val", "valid", "validation", "test", "testing"];
        const TEST: &[&str] = &["test", "testing", "val", "valid", "validation"];
        const ONLY_VAL: &[&str] = &["val", "valid", "validation"];
        match self {
            Self::Train => &[TRAIN],
            Self::Val => &[VAL],
            Self::Test => &[TEST],
            Self::TrainVal => &[TRAIN, ONLY_VAL],
        }
    }

    /// Whether a split's folder may have this name.
    pub(super) fn is_folder(name: &str) -> bool {
        let lists = Self::ALL.iter().flat_map(|split| split.folders());
        lists.into_iter().any(|names| names.contains(&name))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|split| split.name() == text);
        known.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The fixed seed of the procedural scenes.
const SCENES_SEED: u64 = 2026;
/// The side of a scene in pixels unless another is set.
const SCENE_SIDE: u32 = 224;
/// Scenes between the first ones of two splits, and the most that one split has.
const SPLIT_STEP: usize = 1_000_000;

/// Splits `imagenet:/path` into `imagenet` and `/path`, where `known` holds the former.
/// None for a plain path, also one with a colon in it.
pub(super) fn kind<'a>(place: &'a str, known: &[&str]) -> Option<(&'a str, &'a Path)> {
    let (kind, path) = place.split_once(':')?;
    known.contains(&kind).then(|| (kind, Path::new(path)))
}

/// The scenes that `scenes:N` or `scenes:A-B` names; none for any other place.
///
/// `scenes:N` are N scenes of the split: training counts from 0, validation from a
/// million, the test from two million, so no two splits share a scene. `scenes:A-B` are
/// the scenes from A to below B, whatever the split.
///
/// # Errors
/// [`Error::Data`] for other numbers.
pub(super) fn scenes(place: &str, split: Split) -> Result<Option<Scenes>> {
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
        Some(range) if !range.is_empty() => Ok(Some(Scenes::new(SCENES_SEED, range, SCENE_SIDE))),
        _ => Err(Error::data(
            place,
            format!(
                "write scenes:N for N procedural scenes, at most {SPLIT_STEP}, or scenes:A-B for those from A to below B"
            ),
        )),
    }
}
