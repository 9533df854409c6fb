//! Images: where they come from, how they become tensors, and how they reach
//! the device without making it wait.

#[cfg(not(target_family = "wasm"))]
mod classify;
#[cfg(not(target_family = "wasm"))]
mod decode;
#[cfg(not(target_family = "wasm"))]
mod dense;
mod eval_crop;
#[cfg(not(target_family = "wasm"))]
mod files;
#[cfg(not(target_family = "wasm"))]
mod jpeg;
#[cfg(not(target_family = "wasm"))]
mod loader;
#[cfg(not(target_family = "wasm"))]
mod mat;
mod normalise;
#[cfg(not(target_family = "wasm"))]
mod pictures;
#[cfg(not(target_family = "wasm"))]
mod place;
mod preprocess;
mod random_crop;
mod resample;
mod scenes;
mod size;
#[cfg(not(target_family = "wasm"))]
mod split;
#[cfg(not(target_family = "wasm"))]
mod store;
#[cfg(not(target_family = "wasm"))]
mod subset;
mod transform;
#[cfg(not(target_family = "wasm"))]
mod tree;

#[cfg(not(target_family = "wasm"))]
pub use classify::ClassifySet;
#[cfg(not(target_family = "wasm"))]
pub use decode::decode;
#[cfg(not(target_family = "wasm"))]
pub use dense::{
    DenseSet, DepthMap, DepthPairs, DepthSet, LabelMap, LabelPairs, LabelRule, SegmentSet,
    SegmentationSet, Truth, VOID, check_pairs,
};
pub use eval_crop::{EvalTransform, Offset, Resize, eval_crop, whole_patches};
#[cfg(not(target_family = "wasm"))]
pub use files::FileSet;
#[cfg(not(target_family = "wasm"))]
pub use loader::{Batch, Loader, LoaderSettings, Order};
pub use normalise::Normalise;
#[cfg(not(target_family = "wasm"))]
pub use pictures::PictureSet;
#[cfg(not(target_family = "wasm"))]
pub use place::scenes;
pub use preprocess::{Edges, Framing, Preprocess, Steps};
pub use random_crop::TrainTransform;
pub use scenes::{Scene, Scenes, render};
pub use size::{MAX_PIXELS, check_size};
#[cfg(not(target_family = "wasm"))]
pub use split::Split;
#[cfg(not(target_family = "wasm"))]
pub(crate) use subset::every_nth;
pub use transform::Transform;

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
