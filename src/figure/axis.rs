use super::number::{number, power_of_ten};

/// One axis of a chart: which values it spans and where its ticks are.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
}

/// A linear axis has about this many steps.
const STEPS: f64 = 5.0;

impl Axis {
    /// From 0 to `high` or the next round number; `unit` follows each number.
    pub fn from_zero(label: &str, high: f64, unit: &str) -> Self {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = nice_step(high / STEPS);
        let count = (high / step * (1.0 - 1e-9)).ceil() as usize;
        let tick = |index: usize| {
            let value = index as f64 * step;
            let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
            let text = if value >= 1e5 { number(value) } else { format!("{value:.decimals$}") };
            (value, format!("{text}{unit}"))
        };
        let ticks = (0..=count).map(tick).collect();
        Self { label: label.into(), low: 0.0, high: count as f64 * step, log: false, ticks }
    }

    /// Integers from `first` to `last`, with half a step of room at either end.
    pub fn integers(label: &str, first: usize, last: usize) -> Self {
        let span = last.saturating_sub(first);
        let step = [1, 2, 3, 4, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000]
            .into_iter()
            .find(|step| span / step < 8)
            .unwrap_or(100_000);
        let ticks = (first.div_ceil(step) * step..=last).step_by(step);
        let room = (span as f64 * 0.02).max(0.5);
        Self {
            label: label.into(),
            low: first as f64 - room,
            high: last as f64 + room,
            log: false,
            ticks: ticks.map(|value| (value as f64, value.to_string())).collect(),
        }
    }

    /// Logarithmic, from a positive `low` to `high`, slightly widened.
    pub fn log(label: &str, low: f64, high: f64) -> Self {
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let high = if usable(high) { high } else { 1.0 };
        let low = if usable(low) { low.min(high) } else { high / 10.0 };
        // At least half a decade, or a constant would have no room.
        let (low, high) = if high / low < 3.2 { (low / 1.8, high * 1.8) } else { (low, high) };
        let room = (high / low).powf(0.03);
        let (low, high) = (low / room, high * room);
        Self { label: label.into(), low, high, log: true, ticks: log_ticks(low, high) }
    }

    /// Its title.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Where a value lies, 0 to 1; `None` where it lies outside or is not finite.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (share.is_finite() && (-1e-6..=1.0 + 1e-6).contains(&share))
            .then_some(share.clamp(0.0, 1.0))
    }

    /// As [`place`](Self::place), but values outside lie at the nearer end.
    pub(super) fn clamped(&self, value: f64) -> Option<f64> {
        (!value.is_nan()).then(|| self.place(value.clamp(self.low, self.high))).flatten()
    }

    /// The ticks' places and labels.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().filter_map(|(value, text)| Some((self.place(*value)?, text.as_str())))
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |value: f64| value >= low && value <= high;
    let decades = (first..=last).filter(|power| inside(10f64.powi(*power))).count();
    let factors: &[f64] = match decades {
        0 | 1 => &[1.0, 2.0, 5.0],
        2 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let every = decades.div_ceil(7).max(1) as i32;
    (first..=last)
        .filter(|power| power.rem_euclid(every) == 0)
        .flat_map(|power| factors.iter().map(move |factor| (power, factor * 10f64.powi(power))))
        .filter(|(_, value)| inside(*value))
        .map(|(power, value)| {
            let plain = (-3..=4).contains(&power);
            let text = match (plain, factors) {
                (true, _) => plain_decimal(value, power),
                (false, [_]) => power_of_ten(power),
                (false, _) => number(value),
            };
            (value, text)
        })
        .collect()
}

fn plain_decimal(value: f64, power: i32) -> String {
    format!("{value:.*}", (-power).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_span_the_values() {
        assert_eq!(labels(&Axis::from_zero("", 143.0, "")), ["0", "50", "100", "150"]);
        assert_eq!(
            labels(&Axis::from_zero("", 0.0061, "")),
            ["0.000", "0.002", "0.004", "0.006", "0.008"]
        );
        assert_eq!(labels(&Axis::log("", 3e-7, 0.2)).len(), 6);
        assert_eq!(labels(&Axis::log("", 20.0, 20.0)), ["20"]);
        for blocks in [1, 2, 12, 24, 40] {
            let count = labels(&Axis::integers("block", 0, blocks - 1)).len();
            assert!((1..=9).contains(&count), "{blocks} blocks have {count} ticks");
        }
    }

    #[test]
    fn what_cannot_be_placed_is_not() {
        let axis = Axis::log("", 1.0, 100.0);
        for value in [f64::NAN, -1.0, 0.0, 1e9] {
            assert_eq!(axis.place(value), None, "{value}");
        }
        assert_eq!(axis.clamped(0.0), Some(0.0));
        assert_eq!(axis.clamped(f64::NAN), None);
    }
}
