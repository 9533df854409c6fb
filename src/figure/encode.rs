use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::undrawable;
use crate::error::Result;

/// The bytes of a PNG file.
///
/// # Errors
/// [`Error::Drawing`](crate::Error::Drawing) where the encoder refuses the image.
pub fn png(image: impl Into<DynamicImage>) -> Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).map_err(undrawable)?;
    Ok(file.into_inner())
}

/// The bytes of a JPEG file of quality 90, for photographs in a page.
///
/// # Errors
/// [`Error::Drawing`](crate::Error::Drawing) where the encoder refuses the image.
pub fn jpeg(image: &RgbImage) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 90).encode_image(image).map_err(undrawable)?;
    Ok(file)
}
