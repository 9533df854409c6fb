use super::number;
use crate::maps::{ColourRange, Colouring, Palette, Upsampling};

/// A colour bar: which values get which colours, and the labels at its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ColourBar {
    /// Its colours.
    pub palette: Palette,
    /// The value of the first colour.
    pub low: f32,
    /// The value of the last colour.
    pub high: f32,
    /// Labels of the low and the high end.
    pub ends: [String; 2],
    /// A value marked on the bar.
    pub tick: Option<f32>,
}

impl ColourBar {
    /// From 0 to the largest finite value; the colours of norms and shares.
    pub fn from_zero(values: impl IntoIterator<Item = f32>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let high = finite.fold(0.0, f32::max);
        Self {
            palette: Palette::Inferno,
            low: 0.0,
            high,
            ends: ["0".into(), number(high)],
            tick: None,
        }
    }

    /// For cosines, from `low` to 1. With `below`, the label says that values under `low`
    /// share its colour.
    pub fn cosine(low: f32, below: bool) -> Self {
        let least = if below { format!("≤ {low}") } else { format!("{low}") };
        let ends = [least.replace('-', "−"), "1".into()];
        Self { palette: Palette::Viridis, low, high: 1.0, ends, tick: None }
    }

    /// With a mark at `value`, where it lies inside.
    pub fn marked(self, value: f32) -> Self {
        let inside = self.high > self.low && (self.low..=self.high).contains(&value);
        Self { tick: inside.then_some(value), ..self }
    }

    /// Where a value lies, 0 to 1 within the bar.
    pub fn share(&self, value: f32) -> f32 {
        if self.high > self.low { (value - self.low) / (self.high - self.low) } else { 0.0 }
    }

    pub(super) fn colouring(&self) -> Colouring {
        Colouring {
            palette: self.palette,
            upsampling: Upsampling::Nearest,
            range: ColourRange::Fixed(self.low, self.high),
            opacity: 1.0,
        }
    }
}
