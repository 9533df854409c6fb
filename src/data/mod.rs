//! Images: where they come from, how they become tensors, and how they reach
//! the device without making it wait.

mod decode;
mod dense;
mod files;
mod loader;
mod pictures;
mod scenes;
mod store;
mod subset;
mod transform;

pub use decode::decode;
pub use dense::{
    DenseSet, DepthMap, DepthPairs, LabelMap, LabelPairs, LabelRule, SegmentationSet, Truth, VOID,
    check_pairs,
};
pub use files::FileSet;
pub use loader::{Batch, Loader, LoaderSettings, Order};
pub use pictures::PictureSet;
pub use scenes::{Scene, Scenes, render};
pub(crate) use subset::every_nth;
pub use transform::{
    EvalTransform, Normalise, TrainTransform, Transform, eval_crop, whole_patches,
};

use std::sync::Arc;

use image::RgbImage;

use crate::error::Result;

/// A set of labelled images that threads read by index.
pub trait ImageSet: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes; a label is an index into it.
    fn classes(&self) -> &[String];

    /// The class of image `index`.
    fn label(&self, index: usize) -> usize;

    /// What to call image `index` in a message.
    fn name(&self, index: usize) -> String;

    /// Size in bytes of the file that image `index` comes from, where it comes
    /// from one: with the name it tells whether what was computed from the image
    /// still holds.
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
}

/// An image set that several threads share.
pub type SharedImages = Arc<dyn ImageSet>;
