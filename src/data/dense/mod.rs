//! Images with ground truth at every pixel: a class or a depth.

mod depth;
mod maps;
mod nyu;
mod open;
mod pairs;
mod segments;

pub use depth::{DepthPairs, DepthSet};
pub use maps::{DenseSet, DepthMap, LabelMap, SegmentationSet, Truth, VOID, check_pairs};
pub use open::{open_depths, open_segments};
pub use segments::{LabelPairs, LabelRule, SegmentSet};
