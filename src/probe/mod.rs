//! How much the features of a frozen model tell about classes, segments and depth.
//!
//! Whole probes, from images to scores, are [`Classification`], [`Segmentation`] and
//! [`DepthEstimation`]; [`evaluate`] measures a model without any training, by its own head
//! and by nearest neighbours ([`knn_accuracy`]).
//!
//! Probes see the tokens leaving the last block, without the final norm unless asked for.
//! A [`Lift`] brings a student's tokens to the width of its teacher's first.
//! These [`features`] are computed once and kept in a [`FeatureStore`]; linear heads
//! ([`LinearHead`]) are then fitted to them by [`fit_head`] with gradients in closed form.
//! Every head is one linear map of a class token or mean patch, or of each patch; a
//! [`HeadTask`] says what its outputs are compared with: [`ClassTask`], [`SegmentTask`],
//! [`DepthTask`].

mod classify;
mod cross_entropy;
mod dense;
mod depth;
mod extraction;
pub mod features;
mod fit;
mod head;
mod knn;
mod lift;
mod measure;
pub mod metrics;
mod pixels;
mod resample;
mod rows;
mod segment;

pub(crate) use classify::in_classes;
pub use classify::{
    ClassScores, ClassTask, Classification, ClassificationOutcome, ClassificationScores, SetScores,
    SweepPoint, class_map, score_classes, sweep,
};
pub use cross_entropy::cross_entropy;
pub use dense::DenseSettings;
pub use depth::{
    DepthBins, DepthEstimation, DepthImage, DepthOutcome, DepthSetScores, DepthTask, predict_depth,
    score_depth,
};
pub use extraction::{ExtractionSettings, ProbeEvent, ProbeTimes, ProbedSet};
pub use features::FeatureStore;
pub(crate) use features::ModelKey;
pub use fit::{Gradients, HeadFitProgress, HeadFitSettings, HeadTask, fit_head};
pub use head::{HeadTrainer, LinearHead};
pub use knn::{LabelledFeatures, knn_accuracy};
pub use lift::Lift;
pub use measure::{
    EvalSettings, Evaluation, accuracy, batches, class_features, evaluate, last_block_norms,
};
pub use pixels::{LossAt, UPSAMPLING, pixel_loss};
pub use resample::{Resample, nearest};
pub use rows::{FeatureRows, MemoryRows, PatchRows, Token, TokenRows};
pub use segment::{
    SegmentTask, Segmentation, SegmentationOutcome, SegmentedImage, predict_labels, score_segments,
};
