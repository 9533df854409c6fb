//! Metrics of probes, computed from values on the host.

mod accuracy;
mod confusion;
mod depth;

pub use accuracy::TopK;
pub use confusion::{Confusion, SegmentationScores};
pub(super) use depth::is_known;
pub use depth::{DepthErrors, DepthScores};
