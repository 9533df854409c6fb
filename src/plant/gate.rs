use super::samples::Samples;
use super::units::Unit;

/// Pre-activation of a ramp where it fires, on average: GELU is linear there to 1e-4 (QuickGELU
/// to 1e-3).
pub(super) const FIRING: f64 = 4.0;
/// That of a step: all but one patch in fifteen of those that fire are past its slope.
const STEEP: f64 = 80.0;

/// On which patches something is planted: those on which a direction of the inputs of fc1
/// exceeds a threshold.
pub(super) struct Gate {
    direction: Vec<f64>,
    threshold: f64,
    /// Mean of what exceeds the threshold.
    excess: f64,
    /// The patches that exceed it.
    pub(super) fired: Vec<usize>,
}

impl Gate {
    /// The `share` of the patches on which `direction` is largest. There are at least two patches.
    pub(super) fn new(direction: Vec<f64>, scores: &[f64], share: f64) -> Self {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let firing = ((scores.len() as f64 * share).round() as usize).clamp(1, scores.len() - 1);
        let top = &sorted[sorted.len() - firing..];
        let threshold = sorted[sorted.len() - firing - 1];
        let mean = top.iter().sum::<f64>() / firing as f64;
        let fired = (0..scores.len()).filter(|&at| scores[at] > threshold).collect();
        Self { direction, threshold, excess: (mean - threshold).max(1e-9), fired }
    }

    /// On the patches that are best told to be of low information.
    pub(super) fn low_information(samples: &Samples, share: f64) -> Self {
        let direction = samples.ridge_direction(&samples.smoothness());
        let scores = samples.project(&direction);
        Self::new(direction, &scores, share)
    }

    /// On patches of low information whose content is large along `content` too.
    pub(super) fn of_some_content(samples: &Samples, share: f64, content: &[f64]) -> Self {
        let smooth = standardised(&samples.smoothness());
        let content = standardised(&samples.project(content));
        let target: Vec<f64> = smooth.iter().zip(&content).map(|(a, b)| a + b).collect();
        let direction = samples.ridge_direction(&target);
        let scores = samples.project(&direction);
        Self::new(direction, &scores, share)
    }

    /// A unit that writes `vector` at its mean activation, and more where the direction exceeds
    /// the threshold by more.
    pub(super) fn ramp(&self, vector: &[f64]) -> Unit {
        let (row, bias) = self.read(FIRING);
        Unit { row, bias, column: vector.iter().map(|v| v / FIRING).collect() }
    }

    /// Units that together write `Σ_k (r_k · h + b_k) v_k` for inputs h of fc1 where the gate is
    /// open, and nothing elsewhere. Each is as steep as a last one, which takes the slope that
    /// they share away again: what differs remains.
    pub(super) fn step(&self, written: Vec<Written>) -> Vec<Unit> {
        let (slope, bias) = self.read(STEEP);
        let mut rest = vec![0.0; slope.len()];
        let mut units: Vec<Unit> = Vec::with_capacity(written.len() + 1);
        for Written { reader, offset, vector } in written {
            rest.iter_mut().zip(&vector).for_each(|(rest, v)| *rest -= v);
            let row = slope.iter().zip(&reader).map(|(a, r)| a + r).collect();
            units.push(Unit { row, bias: bias + offset, column: vector });
        }
        units.push(Unit { row: slope, bias, column: rest });
        units
    }

    /// Weights of fc1 whose output is 0 at the threshold and `mean` on average beyond it.
    fn read(&self, mean: f64) -> (Vec<f64>, f64) {
        let gain = mean / self.excess;
        (self.direction.iter().map(|a| a * gain).collect(), -self.threshold * gain)
    }
}

/// A vector written as often as a linear reading of the input of fc1 says.
pub(super) struct Written {
    /// `[D]`.
    pub(super) reader: Vec<f64>,
    pub(super) offset: f64,
    /// `[D]`.
    pub(super) vector: Vec<f64>,
}

impl Written {
    /// Always once.
    pub(super) fn constant(vector: &[f64]) -> Self {
        let vector: Vec<f64> = vector.iter().map(|v| v / FIRING).collect();
        Self { reader: vec![0.0; vector.len()], offset: FIRING, vector }
    }
}

/// Mean and standard deviation of some of the values.
pub(super) fn moments(values: &[f64], of: &[usize]) -> (f64, f64) {
    let count = of.len().max(1) as f64;
    let mean = of.iter().map(|&at| values[at]).sum::<f64>() / count;
    let variance = of.iter().map(|&at| (values[at] - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

fn standardised(values: &[f64]) -> Vec<f64> {
    let all: Vec<usize> = (0..values.len()).collect();
    let (mean, deviation) = moments(values, &all);
    values.iter().map(|value| (value - mean) / deviation.max(1e-12)).collect()
}
