use image::{Rgb, RgbImage, RgbaImage, imageops};
use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::Text;

use super::text::TextStyle;
use super::{Hue, undrawable};
use crate::error::Result;

/// A white picture to which other pictures and text are added. All lengths are in
/// points of `scale` pixels.
pub(super) struct Canvas {
    pixels: RgbImage,
    scale: u32,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32, scale: u32) -> Self {
        let white = Rgb([255, 255, 255]);
        Self { pixels: RgbImage::from_pixel(width * scale, height * scale, white), scale }
    }

    pub(super) fn into_pixels(self) -> RgbImage {
        self.pixels
    }

    /// Places a picture of this canvas' scale, opaque or not.
    pub(super) fn picture(&mut self, picture: &RgbaImage, [x, y]: [u32; 2]) {
        let (left, top) = (x * self.scale, y * self.scale);
        for (column, row, pixel) in picture.enumerate_pixels() {
            let alpha = u32::from(pixel.0[3]);
            if let Some(below) = self.pixels.get_pixel_mut_checked(left + column, top + row) {
                for (channel, value) in below.0.iter_mut().zip(pixel.0) {
                    let mixed = u32::from(*channel) * (255 - alpha) + u32::from(value) * alpha;
                    *channel = ((mixed + 127) / 255) as u8;
                }
            }
        }
    }

    /// Places an opaque picture, resized to `scale` pixels per point.
    pub(super) fn photo(&mut self, photo: &RgbImage, at: [u32; 2], [width, height]: [u32; 2]) {
        let (width, height) = (width * self.scale, height * self.scale);
        // Pixels stay squares where there are few of them, as patches do.
        let filter = if photo.width() * 3 <= width {
            imageops::FilterType::Nearest
        } else {
            imageops::FilterType::CatmullRom
        };
        let resized = imageops::resize(photo, width, height, filter);
        let (x, y) = (at[0] * self.scale, at[1] * self.scale);
        imageops::replace(&mut self.pixels, &resized, i64::from(x), i64::from(y));
    }

    /// Places an opaque picture of this canvas' scale.
    pub(super) fn pixels_at(&mut self, picture: &RgbImage, [x, y]: [u32; 2]) {
        let (x, y) = (i64::from(x * self.scale), i64::from(y * self.scale));
        imageops::replace(&mut self.pixels, picture, x, y);
    }

    /// Fills a rectangle with one colour.
    pub(super) fn fill(&mut self, hue: Hue, [x, y]: [u32; 2], [width, height]: [u32; 2]) {
        let block = RgbImage::from_pixel(width * self.scale, height * self.scale, Rgb(hue.rgb()));
        let (x, y) = (i64::from(x * self.scale), i64::from(y * self.scale));
        imageops::replace(&mut self.pixels, &block, x, y);
    }

    /// Writes one line; `at` is its upper left corner.
    pub(super) fn text(
        &mut self,
        text: &str,
        at: [u32; 2],
        face: TextStyle,
        hue: Hue,
    ) -> Result<()> {
        let size = self.pixels.dimensions();
        let scaled = TextStyle { size: face.size * f64::from(self.scale), ..face };
        let style = scaled.font()?.color(&hue.colour());
        // The bitmap drawing puts the base line half a font's height below.
        let down = (scaled.size * 0.22) as i32;
        let at = ((at[0] * self.scale) as i32, (at[1] * self.scale) as i32 + down);
        let area = BitMapBackend::with_buffer(&mut self.pixels, size).into_drawing_area();
        area.draw(&Text::new(text.to_owned(), at, style)).map_err(undrawable)
    }
}
