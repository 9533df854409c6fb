//! The size of text, and how it is made to fit.

use std::sync::LazyLock;

use plotters::style::{FontDesc, FontFamily, FontStyle, IntoFont, register_font};

use super::undrawable;
use crate::error::Result;

/// The name under which DejaVu Sans is known here. In an SVG it stands for the
/// viewer's own font, as files do not carry one.
const FAMILY: &str = "sans-serif";

/// Whether the fonts could be registered.
static FONTS: LazyLock<bool> = LazyLock::new(|| {
    register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular()).is_ok()
        && register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold()).is_ok()
});

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TextStyle {
    /// Height of a line's letters in pixels.
    pub(super) size: f64,
    pub(super) bold: bool,
}

impl TextStyle {
    pub(super) fn plain(size: f64) -> Self {
        Self { size, bold: false }
    }

    pub(super) fn bold(size: f64) -> Self {
        Self { size, bold: true }
    }

    pub(super) fn font(self) -> Result<FontDesc<'static>> {
        if !*FONTS {
            return Err(undrawable("the built-in font is not readable"));
        }
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        Ok((FontFamily::SansSerif, self.size, style).into_font())
    }

    /// From the first to the last letter, in pixels.
    pub(super) fn width(self, text: &str) -> Result<f64> {
        let (width, _) = self.font()?.box_size(text).map_err(undrawable)?;
        Ok(f64::from(width))
    }

    /// The text, shortened in its middle where it is wider than `room`: names
    /// differ at their ends.
    pub(super) fn fit(self, text: &str, room: f64) -> Result<String> {
        if self.width(text)? <= room {
            return Ok(text.to_owned());
        }
        let letters: Vec<char> = text.chars().collect();
        for kept in (2..letters.len()).rev() {
            let head: String = letters[..kept.div_ceil(2)].iter().collect();
            let tail: String = letters[letters.len() - kept / 2..].iter().collect();
            let short = format!("{head}…{tail}");
            if self.width(&short)? <= room {
                return Ok(short);
            }
        }
        Ok("…".into())
    }

    /// The text in lines no wider than `room`.
    pub(super) fn wrap(self, text: &str, room: f64) -> Result<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        // Spaces that do not break hold a number and its unit together.
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let word = self.fit(word, room)?;
            if let Some(line) = lines.last_mut() {
                let longer = format!("{line} {word}");
                if self.width(&longer)? <= room {
                    *line = longer;
                    continue;
                }
            }
            lines.push(word);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shortened_to_fit_and_keeps_both_ends() {
        let face = TextStyle::plain(12.0);
        let short =
            face.fit("a-very-long-name-of-an-image-from-a-camera-0042.jpeg", 120.0).unwrap();
        assert!(face.width(&short).unwrap() <= 120.0);
        assert!(short.starts_with("a-very") && short.ends_with(".jpeg"), "{short}");
        assert_eq!(face.fit("short", 120.0).unwrap(), "short");
    }

    #[test]
    fn wrapped_lines_hold_every_word() {
        let face = TextStyle::plain(10.0);
        let lines = face.wrap("median 12.3, largest 143, 11.6 times the median", 90.0).unwrap();
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "median 12.3, largest 143, 11.6 times the median");
        for line in lines {
            assert!(face.width(&line).unwrap() <= 90.0, "{line}");
        }
    }
}
