use plotters::style::RGBColor;

/// The colours of charts. Those of series follow Okabe and Ito: colour-blind
/// readers can tell them apart, on a light and on a dark background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hue {
    /// Text and axes.
    Ink,
    /// Less important text.
    Faint,
    /// Grid lines.
    Rule,
    /// For series: blue.
    Blue,
    /// For series: orange red.
    Vermilion,
    /// For series: green.
    Green,
    /// For series: purple.
    Purple,
    /// For series: light blue.
    Sky,
    /// For series: grey.
    Grey,
}

impl Hue {
    /// Red, green and blue.
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Ink => [0x1c, 0x1e, 0x21],
            Self::Faint => [0x5a, 0x5f, 0x66],
            Self::Rule => [0xdd, 0xe0, 0xe4],
            Self::Blue => [0x00, 0x72, 0xb2],
            Self::Vermilion => [0xd5, 0x5e, 0x00],
            Self::Green => [0x00, 0x9e, 0x73],
            Self::Purple => [0xcc, 0x79, 0xa7],
            Self::Sky => [0x3f, 0xa4, 0xdc],
            Self::Grey => [0x8a, 0x8d, 0x91],
        }
    }

    pub(super) fn colour(self) -> RGBColor {
        let [r, g, b] = self.rgb();
        RGBColor(r, g, b)
    }

    /// As SVG files write it, for style sheets to match: `#0072B2`.
    pub fn hex(self) -> String {
        let [r, g, b] = self.rgb();
        format!("#{r:02X}{g:02X}{b:02X}")
    }
}
