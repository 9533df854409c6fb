//! Linear probes: how much a frozen model's features tell a linear head about
//! classes, segments and depth.
//!
//! Features are those of the last block, without the final norm unless asked for.
//! They are computed once and kept in a [`FeatureStore`]; heads
//! ([`LinearHead`]) are then fitted to them by [`fit`]'s loop with gradients in
//! closed form. Every head is one linear map, of a class token or mean patch, or
//! of each patch; what differs is what its outputs are compared with:
//! [`ClassTask`], [`SegmentTask`], [`DepthTask`].

mod classify;
mod cross_entropy;
mod depth;
pub mod features;
mod fit;
mod head;
mod knn;
mod measure;
pub mod metrics;
mod pixels;
mod resample;
mod rows;
mod segment;

pub use classify::{ClassTask, Standing, class_map, score_classes, sweep};
pub use cross_entropy::cross_entropy;
pub use depth::{DepthBins, DepthReport, DepthTask, predict_depth, score_depth};
pub use features::FeatureStore;
pub use fit::{FitProgress, FitSettings, Gradients, HeadTask, fit};
pub use head::{HeadTrainer, LinearHead};
pub use knn::{LabelledFeatures, knn_accuracy};
pub use measure::{
    EvalSettings, Evaluation, accuracy, batches, class_features, evaluate, last_block_norms,
};
pub use pixels::{LossAt, UPSAMPLING, pixel_loss};
pub use resample::{Resample, nearest};
pub use rows::{FeatureRows, MemoryRows, PatchRows, Token, TokenRows};
pub use segment::{SegmentTask, predict_labels, score_segments};
