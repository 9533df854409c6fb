use serde::Serialize;

/// Sums of depth errors over pixels of known depth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DepthErrors {
    pixels: u64,
    squared: f64,
    absolute: f64,
    relative: f64,
    within: [u64; 3],
}

impl DepthErrors {
    /// Adds the pixels of one image whose true depth lies above 0 and below
    /// `max_depth`; all others are unknown. In metres.
    pub fn add(&mut self, truth: &[f32], prediction: &[f32], max_depth: f32) {
        for (&truth, &prediction) in truth.iter().zip(prediction) {
            if !is_known(truth, max_depth) {
                continue;
            }
            let (truth, prediction) = (f64::from(truth), f64::from(prediction));
            let error = (prediction - truth).abs();
            let ratio = (prediction / truth).max(truth / prediction);
            self.pixels += 1;
            self.squared += error * error;
            self.absolute += error;
            self.relative += error / truth;
            for (power, count) in (1..).zip(&mut self.within) {
                *count += u64::from(prediction > 0.0 && ratio < 1.25f64.powi(power));
            }
        }
    }

    /// Adds another set's sums.
    pub fn merge(&mut self, other: &Self) {
        self.pixels += other.pixels;
        self.squared += other.squared;
        self.absolute += other.absolute;
        self.relative += other.relative;
        for (count, more) in self.within.iter_mut().zip(other.within) {
            *count += more;
        }
    }

    /// The errors of all pixels so far; none where no depth was known.
    pub fn scores(&self) -> Option<DepthScores> {
        let pixels = self.pixels as f64;
        (self.pixels > 0).then(|| DepthScores {
            rmse: (self.squared / pixels).sqrt(),
            mae: self.absolute / pixels,
            rel: self.relative / pixels,
            delta: self.within.map(|count| count as f64 / pixels),
            pixels: self.pixels,
        })
    }
}

/// Whether a depth counts: 0 stands for unknown, and so does what is beyond range.
pub(crate) fn is_known(depth: f32, max_depth: f32) -> bool {
    depth > 0.0 && depth < max_depth
}

/// Errors of predicted depths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthScores {
    /// Root of the mean squared error, in metres.
    pub rmse: f64,
    /// Mean absolute error, in metres.
    pub mae: f64,
    /// Mean relative error: absolute error over true depth.
    pub rel: f64,
    /// Shares of pixels with `max(ŷ/y, y/ŷ)` below 1.25, 1.25² and 1.25³.
    pub delta: [f64; 3],
    /// Number of pixels that count.
    pub pixels: u64,
}
