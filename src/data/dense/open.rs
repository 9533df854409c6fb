//! Dense sets by the place that names them: a published layout, scenes, or plain folders.

use std::path::Path;

use super::{
    DenseSet, DepthMap, DepthPairs, DepthSet, LabelPairs, LabelRule, SegmentSet, SegmentationSet,
};
use crate::data::place::Split;
use crate::error::{Error, Result};

/// Opens a training and a test set of the same classes and checks all their label maps.
/// Places are those of [`SegmentSet::open`], whose training and test split are taken, or
/// folders as [`LabelPairs::open`] takes them, in which `rule` says what the numbers are.
/// Scenes are drawn at `side` times `side` pixels.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`]; [`Error::Incompatible`] for sets of other classes.
pub fn open_segments(
    places: [&str; 2],
    rule: &LabelRule,
    side: usize,
) -> Result<[Box<dyn SegmentationSet>; 2]> {
    if !places.iter().any(|place| SegmentSet::is_layout(place)) {
        let sets = LabelPairs::open(&places.map(Path::new), rule)?;
        let sets: Vec<Box<dyn SegmentationSet>> =
            sets.into_iter().map(|set| Box::new(set) as Box<dyn SegmentationSet>).collect();
        return sets.try_into().map_err(|_| Error::NoImages);
    }
    let train = SegmentSet::open(places[0], Split::Train)?.with_scene_side(side);
    let test = SegmentSet::open(places[1], Split::Test)?.with_scene_side(side);
    if train.classes() != test.classes() {
        return Err(Error::incompatible(format!(
            "{} and {} have other classes; measure on the set that the head learnt from",
            places[0], places[1]
        )));
    }
    train.check()?;
    test.check()?;
    Ok([Box::new(train), Box::new(test)])
}

/// Opens a split of a set and checks all its depth maps. The place is one of
/// [`DepthSet::open`], or a folder as [`DepthPairs::open`] takes it, in which `unit` is the
/// length of the number 1 in metres. Scenes are drawn at `side` times `side` pixels.
///
/// # Errors
/// [`Error::Setting`] for a unit that is not above 0; [`Error::Io`]; [`Error::Data`].
pub fn open_depths(
    place: &str,
    split: Split,
    unit: f32,
    side: usize,
) -> Result<Box<dyn DenseSet<Truth = DepthMap>>> {
    if !(unit.is_finite() && unit > 0.0) {
        return Err(Error::setting("unit", unit, "it must be above 0"));
    }
    if !DepthSet::is_layout(place) {
        return Ok(Box::new(DepthPairs::open(Path::new(place), unit)?));
    }
    let set = DepthSet::open(place, split)?.with_scene_side(side);
    set.check()?;
    Ok(Box::new(set))
}
