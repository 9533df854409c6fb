//! Images: sets of them, transforms to what a model takes, and a loader that prepares
//! batches ahead.
//!
//! From leaf to root: `resample`, `transform` and `preprocess` (pixels), `decode` and
//! `files` (files), `image_set`, `scenes`, `file_set`, `list` and `join` (sets), `place`,
//! `classify` and `dense` (published data sets), `open`, `stream` (shards), `images` (either),
//! `unreadable` (a tally),
//! `pixels` (a batch on its way to a device) and `loader`.

#[cfg(not(target_family = "wasm"))]
mod classify;
#[cfg(not(target_family = "wasm"))]
mod decode;
#[cfg(not(target_family = "wasm"))]
mod dense;
#[cfg(not(target_family = "wasm"))]
mod file_set;
#[cfg(not(target_family = "wasm"))]
mod files;
mod image_set;
#[cfg(not(target_family = "wasm"))]
mod images;
#[cfg(not(target_family = "wasm"))]
mod join;
#[cfg(not(target_family = "wasm"))]
mod list;
#[cfg(not(target_family = "wasm"))]
mod loader;
#[cfg(not(target_family = "wasm"))]
mod mat;
#[cfg(not(target_family = "wasm"))]
mod open;
#[cfg(not(target_family = "wasm"))]
mod pixels;
#[cfg(not(target_family = "wasm"))]
mod place;
mod preprocess;
#[cfg(not(target_family = "wasm"))]
mod relabelled;
mod resample;
mod scenes;
#[cfg(not(target_family = "wasm"))]
mod stream;
mod transform;
#[cfg(not(target_family = "wasm"))]
mod unreadable;

#[cfg(not(target_family = "wasm"))]
pub use classify::ClassifySet;
#[cfg(not(target_family = "wasm"))]
pub use decode::decode;
#[cfg(not(target_family = "wasm"))]
pub use dense::{
    DenseSet, DepthMap, DepthPairs, DepthSet, LabelMap, LabelPairs, LabelRule, SegmentSet,
    SegmentationSet, Truth, VOID, check_pairs, open_depths, open_segments,
};
pub use image_set::{ImageSet, ImageSource};
#[cfg(not(target_family = "wasm"))]
pub use images::Images;
#[cfg(not(target_family = "wasm"))]
pub use loader::{Batch, Loader, LoaderSettings, Order};
#[cfg(not(target_family = "wasm"))]
pub use pixels::Pixels;
#[cfg(not(target_family = "wasm"))]
pub use place::Split;
pub use preprocess::{CropMode, Edges, Framing, Preprocess, Steps};
pub use resample::{Interpolation, LARGE_PIXELS, MAX_PIXELS, check_size};
pub use scenes::{Scene, Scenes, render};
#[cfg(not(target_family = "wasm"))]
pub use stream::ImageStream;
pub use transform::{
    EvalTransform, Normalise, Offset, Resize, TrainTransform, Transform, eval_crop, whole_patches,
};
#[cfg(not(target_family = "wasm"))]
pub use unreadable::{PassedOver, Unreadable};
