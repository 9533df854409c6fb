//! Several sets as one.

use std::collections::{BTreeMap, HashMap};

use image::RgbImage;

use super::image_set::{ImageSet, ImageSource};
use crate::error::{Error, Result};

impl ImageSet {
    /// The images of several sets, one set after the other. Classes of one name are one
    /// class; there are labels where every set has them.
    ///
    /// # Errors
    /// [`Error::NoImages`] without a set.
    pub fn join(sets: Vec<Self>) -> Result<Self> {
        match sets.len() {
            0 => Err(Error::NoImages),
            1 => sets.into_iter().next().ok_or(Error::NoImages),
            _ => Ok(Self::new(Join::new(sets))),
        }
    }
}

struct Join {
    sets: Vec<ImageSet>,
    /// The index of each set's first image, and the number of all.
    starts: Vec<usize>,
    classes: Vec<String>,
    /// The label here of each label of a set.
    labels: Vec<Vec<usize>>,
}

impl Join {
    fn new(sets: Vec<ImageSet>) -> Self {
        let mut starts = vec![0];
        for set in &sets {
            starts.push(starts[starts.len() - 1] + set.len());
        }
        let classes = match sets.iter().all(ImageSet::has_labels) {
            true => united(&sets),
            false => Vec::new(),
        };
        let places: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
        let label = |name: &String| places.get(name.as_str()).copied().unwrap_or_default();
        let labels = sets.iter().map(|set| set.classes().iter().map(label).collect()).collect();
        Self { sets, starts, classes, labels }
    }

    /// The set of an image, and its index there.
    fn place(&self, index: usize) -> (usize, usize) {
        let set = self.starts.partition_point(|&start| start <= index) - 1;
        (set, index - self.starts[set])
    }
}

/// The classes of all sets: sorted where those of every set are, else in the order in which
/// they come.
fn united(sets: &[ImageSet]) -> Vec<String> {
    let mut classes: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for name in sets.iter().flat_map(ImageSet::classes) {
        if known.insert(name) {
            classes.push(name.clone());
        }
    }
    if sets.iter().all(|set| set.classes().is_sorted()) {
        classes.sort_unstable();
    }
    classes
}

impl ImageSource for Join {
    fn len(&self) -> usize {
        self.starts[self.sets.len()]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<usize> {
        let (set, inner) = self.place(index);
        let label = self.sets[set].label(inner).filter(|_| !self.classes.is_empty())?;
        self.labels[set].get(label).copied()
    }

    fn name(&self, index: usize) -> String {
        let (set, inner) = self.place(index);
        self.sets[set].name(inner)
    }

    fn left_out(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (end, count) in self.sets.iter().flat_map(ImageSet::left_out) {
            *all.entry(end).or_default() += count;
        }
        all
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        let (set, inner) = self.place(index);
        self.sets[set].file_size(inner)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let (set, inner) = self.place(index);
        self.sets[set].read(inner)
    }

    fn limited_to(&self, pixels: u64) -> Option<ImageSet> {
        let sets = self.sets.iter().map(|set| set.clone().with_max_pixels(pixels)).collect();
        Some(ImageSet::new(Self::new(sets)))
    }

    fn drawn_at(&self, side: usize) -> Option<ImageSet> {
        let sets = self.sets.iter().map(|set| set.clone().with_scene_side(side)).collect();
        Some(ImageSet::new(Self::new(sets)))
    }
}
