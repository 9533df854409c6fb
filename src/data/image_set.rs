//! Sets of images that threads read by index.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use image::RgbImage;

use crate::error::Result;

/// Where the images of an [`ImageSet`] come from. Implement it for images of your own.
pub trait ImageSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes; a label is an index into it. Empty where the images have
    /// no labels.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// The class of image `index`; none exactly where [`classes`](Self::classes) is empty.
    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    /// What to call image `index` in a message.
    fn name(&self, index: usize) -> String;

    /// How many files beside the images are images in formats that cannot be read, by
    /// ending (`.heic`).
    fn left_out(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    /// Size in bytes of the file that holds image `index`; none where no file does.
    /// Name and size together tell whether the image is still the same.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Data`](crate::Error::Data) where
    /// the file is gone.
    fn file_size(&self, _index: usize) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Reads image `index`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) where it cannot be decoded.
    fn read(&self, index: usize) -> Result<RgbImage>;

    /// The same images, of which those of up to `pixels` pixels are read; none where there
    /// is no limit.
    fn limited_to(&self, _pixels: u64) -> Option<ImageSet> {
        None
    }

    /// The same images at `side` times `side` pixels; none where they have a size of
    /// their own. Procedural images have none.
    fn drawn_at(&self, _side: usize) -> Option<ImageSet> {
        None
    }
}

/// A set of images, with or without labels. Clones share the images.
///
/// ```no_run
/// use singer::data::ImageSet;
///
/// # fn main() -> singer::Result<()> {
/// let photos = ImageSet::open("photos/")?;
/// println!("{} images of {} classes", photos.len(), photos.classes().len());
/// for index in 0..photos.len().min(3) {
///     let image = photos.read(index)?;
///     println!("{}: {}x{}", photos.name(index), image.width(), image.height());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ImageSet(Arc<dyn ImageSource>);

impl ImageSet {
    /// Images of a source of your own.
    pub fn new(source: impl ImageSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// The same set with procedural scenes drawn at `side` times `side` pixels; 224
    /// unless set. Images of files keep their own size.
    pub fn with_scene_side(self, side: usize) -> Self {
        self.0.drawn_at(side).unwrap_or(self)
    }

    /// The same images with another limit on the pixels of one than
    /// [`MAX_PIXELS`](super::MAX_PIXELS).
    #[must_use]
    pub fn with_max_pixels(self, pixels: u64) -> Self {
        self.0.limited_to(pixels).unwrap_or(self)
    }

    /// At most `count` images, evenly spread over the set.
    pub fn sample(&self, count: usize) -> Self {
        if count >= self.len() {
            return self.clone();
        }
        Self::new(Sample { images: self.clone(), count })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of the classes; a label is an index into it. Empty where the images have
    /// no labels.
    pub fn classes(&self) -> &[String] {
        self.0.classes()
    }

    /// Whether every image has a label.
    pub fn has_labels(&self) -> bool {
        !self.classes().is_empty()
    }

    /// The class of image `index`, where the images have labels.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.0.label(index)
    }

    /// What to call image `index` in a message: the path of its file, where it has one.
    pub fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    /// How many files beside the images are images in formats that cannot be read, by
    /// ending (`.heic`).
    pub fn left_out(&self) -> BTreeMap<String, usize> {
        self.0.left_out()
    }

    /// Size in bytes of the file that holds image `index`; none where no file does.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Data`](crate::Error::Data) where
    /// the file is gone.
    pub fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.0.file_size(index)
    }

    /// Reads image `index`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) where it cannot be decoded.
    pub fn read(&self, index: usize) -> Result<RgbImage> {
        self.0.read(index)
    }
}

impl<S: ImageSource + 'static> From<Arc<S>> for ImageSet {
    fn from(source: Arc<S>) -> Self {
        Self(source)
    }
}

impl fmt::Debug for ImageSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (images, classes) = (self.len(), self.classes().len());
        out.debug_struct("ImageSet").field("images", &images).field("classes", &classes).finish()
    }
}

/// Evenly spread images of a larger set.
struct Sample {
    images: ImageSet,
    count: usize,
}

impl Sample {
    /// The index in the larger set.
    fn of(&self, index: usize) -> usize {
        index * self.images.len() / self.count
    }
}

impl ImageSource for Sample {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        self.images.classes()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.images.label(self.of(index))
    }

    fn name(&self, index: usize) -> String {
        self.images.name(self.of(index))
    }

    fn left_out(&self) -> BTreeMap<String, usize> {
        self.images.left_out()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.images.file_size(self.of(index))
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        self.images.read(self.of(index))
    }

    fn limited_to(&self, pixels: u64) -> Option<ImageSet> {
        let images = self.images.0.limited_to(pixels)?;
        Some(ImageSet::new(Self { images, count: self.count }))
    }

    fn drawn_at(&self, side: usize) -> Option<ImageSet> {
        let images = self.images.0.drawn_at(side)?;
        Some(ImageSet::new(Self { images, count: self.count }))
    }
}
