use std::collections::BTreeMap;

use super::image_set::ImageSet;
use super::place::Split;
use super::stream::ImageStream;
use crate::error::Result;

/// Images to train on: a set that is read in any order, or a stream of shards. An [`ImageSet`]
/// and an [`ImageStream`] turn into it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Images {
    /// Images that are read by index.
    Set(ImageSet),
    /// Images in shards that are read in one pass.
    Stream(ImageStream),
}

impl Images {
    /// Opens the images at some places: a stream where they are shards, as
    /// [`ImageStream::open`] takes them, else a set, as
    /// [`ImageSet::open_places`] does.
    ///
    /// # Errors
    /// Those of [`ImageStream::open`] and [`ImageSet::open_places`].
    pub fn open<P: AsRef<str>>(places: &[P], split: Split) -> Result<Self> {
        if let Some(stream) = ImageStream::find(places, split)? {
            return Ok(Self::Stream(stream));
        }
        let places: Vec<&str> = places.iter().map(AsRef::as_ref).collect();
        ImageSet::open_places(&places, split).map(Self::Set)
    }

    /// Number of images; none where it is not known before they are read.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Set(set) => Some(set.len()),
            Self::Stream(stream) => stream.len(),
        }
    }

    /// Shards that they are streamed from; 0 for a set.
    pub fn shards(&self) -> usize {
        match self {
            Self::Set(_) => 0,
            Self::Stream(stream) => stream.shards(),
        }
    }

    /// How many files beside them are images in formats that cannot be read, by ending.
    pub fn left_out(&self) -> BTreeMap<String, usize> {
        match self {
            Self::Set(set) => set.left_out(),
            Self::Stream(stream) => stream.left_out(),
        }
    }

    /// Whether it is known that there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Names of the classes; a label is an index into it. Empty where the images have no
    /// labels, or where that is not known before they are read.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Set(set) => set.classes(),
            Self::Stream(stream) => stream.classes(),
        }
    }

    /// Whether every image has a label.
    pub fn has_labels(&self) -> bool {
        !self.classes().is_empty()
    }

    /// The same images with procedural scenes drawn at `side` times `side` pixels.
    pub fn with_scene_side(self, side: usize) -> Self {
        match self {
            Self::Set(set) => Self::Set(set.with_scene_side(side)),
            stream @ Self::Stream(_) => stream,
        }
    }

    /// The same images with another limit on the pixels of one than
    /// [`MAX_PIXELS`](super::MAX_PIXELS).
    #[must_use]
    pub fn with_max_pixels(self, pixels: u64) -> Self {
        match self {
            Self::Set(set) => Self::Set(set.with_max_pixels(pixels)),
            Self::Stream(stream) => Self::Stream(stream.with_max_pixels(pixels)),
        }
    }

    /// Images that are read by index: a set itself, or those of its shards; with a `limit` at
    /// most so many, spread over them.
    ///
    /// # Errors
    /// Those of [`ImageStream::into_set`].
    pub fn into_set(self, limit: Option<usize>) -> Result<ImageSet> {
        match (self, limit) {
            (Self::Set(set), Some(limit)) => Ok(set.sample(limit)),
            (Self::Set(set), None) => Ok(set),
            (Self::Stream(stream), limit) => stream.into_set(limit),
        }
    }
}

impl From<ImageSet> for Images {
    fn from(set: ImageSet) -> Self {
        Self::Set(set)
    }
}

impl From<ImageStream> for Images {
    fn from(stream: ImageStream) -> Self {
        Self::Stream(stream)
    }
}
