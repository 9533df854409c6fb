//! Sets of images from the places that a user names.

use std::path::Path;

use super::classify::{self, ClassifySet};
use super::file_set::FileSet;
use super::image_set::ImageSet;
use super::place::Split;
use crate::error::Result;

impl ImageSet {
    /// Opens images for training: [`open_split`](Self::open_split) of [`Split::Train`].
    ///
    /// # Errors
    /// Those of [`open_split`](Self::open_split).
    pub fn open(place: impl AsRef<Path>) -> Result<Self> {
        Self::open_split(place, Split::Train)
    }

    /// Opens the images of one split:
    ///
    /// - a folder or a zip file with one folder for each class, below folders called
    ///   `train`, `val` or `test` where there are such: images with labels;
    /// - any other folder or zip file, or one image file: images without labels;
    /// - a published layout, `imagenet:PATH` and the others of [`ClassifySet::open`];
    /// - `scenes:N` or `scenes:A-B`: procedural scenes, see
    ///   [`with_scene_side`](Self::with_scene_side).
    ///
    /// A path may lead into a zip file (`cifar10.zip/cifar10`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the path cannot be read;
    /// [`Error::Data`](crate::Error::Data) where it holds no image.
    pub fn open_split(place: impl AsRef<Path>, split: Split) -> Result<Self> {
        let place = place.as_ref();
        if let Some(layout) = layout(place) {
            return ClassifySet::open(layout, split).map(|set| set.images());
        }
        match FileSet::single(place)? {
            Some(file) => Ok(Self::new(file)),
            None => classify::open_any(place, split).map(Self::new),
        }
    }

    /// Opens every image at a place. Below a plain path these are all image files,
    /// whatever their folders are called, without labels. Of a published layout it is
    /// the test split.
    ///
    /// # Errors
    /// Those of [`open_split`](Self::open_split).
    pub fn open_all(place: impl AsRef<Path>) -> Result<Self> {
        let place = place.as_ref();
        if let Some(layout) = layout(place) {
            let split = if layout.starts_with("scenes:") { Split::Train } else { Split::Test };
            return ClassifySet::open(layout, split).map(|set| set.images());
        }
        FileSet::all(place).map(Self::new)
    }
}

/// A place that names a published layout or procedural scenes instead of a path.
fn layout(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| text.starts_with("scenes:") || ClassifySet::is_layout(text))
}
