//! Looking into a teacher, its refinement and its student on images.

mod findings;

pub use findings::{
    BlockDrift, DepthRow, DepthSeries, Findings, Histogram, ImageFindings, Injection,
    LayerFindings, LogitDrift, Map, MapKind, PositionShare, Spectrum,
};
