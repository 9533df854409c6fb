//! Images under the classes of another set.

use std::collections::BTreeMap;

use image::RgbImage;

use super::image_set::{ImageSet, ImageSource};
use crate::error::Result;

impl ImageSet {
    /// The same images with the classes `classes`; label `l` becomes `map[l]`.
    pub(crate) fn relabelled(&self, classes: &[String], map: Vec<usize>) -> Self {
        Self::new(Relabelled { images: self.clone(), classes: classes.to_vec(), map })
    }
}

struct Relabelled {
    images: ImageSet,
    classes: Vec<String>,
    /// The class here of each class of `images`.
    map: Vec<usize>,
}

impl Relabelled {
    fn with(&self, images: ImageSet) -> ImageSet {
        images.relabelled(&self.classes, self.map.clone())
    }
}

impl ImageSource for Relabelled {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.map.get(self.images.label(index)?).copied()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn left_out(&self) -> BTreeMap<String, usize> {
        self.images.left_out()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.images.file_size(index)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        self.images.read(index)
    }

    fn limited_to(&self, pixels: u64) -> Option<ImageSet> {
        Some(self.with(self.images.clone().with_max_pixels(pixels)))
    }

    fn drawn_at(&self, side: usize) -> Option<ImageSet> {
        Some(self.with(self.images.clone().with_scene_side(side)))
    }
}
