use std::panic::catch_unwind;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use mozjpeg::{ColorSpace, Decompress};

use crate::error::{Error, Result};

/// Decodes a JPEG or PNG file's bytes to 8-bit RGB. `path` is for messages.
///
/// JPEGs come out bit for bit as from libjpeg-turbo, and so as from Pillow.
///
/// # Errors
/// [`Error::Data`] where the bytes are damaged, truncated or of another format.
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    let unreadable = |reason: String| Error::data(path, format!("unreadable image ({reason})"));
    if image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Jpeg) {
        if is_truncated(bytes) {
            return Err(unreadable("the JPEG data ends early".into()));
        }
        // libjpeg's errors unwind; CMYK, which it does not convert, is left to `image`.
        if let Ok(Some(image)) = catch_unwind(|| decode_jpeg(bytes)) {
            return Ok(image);
        }
    }
    let image = image::load_from_memory(bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok(image.into_rgb8())
}

fn decode_jpeg(bytes: &[u8]) -> Option<RgbImage> {
    let jpeg = Decompress::new_mem(bytes).ok()?;
    let convertible = [ColorSpace::JCS_GRAYSCALE, ColorSpace::JCS_YCbCr, ColorSpace::JCS_RGB];
    if !convertible.contains(&jpeg.color_space()) {
        return None;
    }
    let mut rows = jpeg.rgb().ok()?;
    let (width, height) = (rows.width() as u32, rows.height() as u32);
    let pixels: Vec<[u8; 3]> = rows.read_scanlines().ok()?;
    rows.finish().ok()?;
    RgbImage::from_raw(width, height, pixels.into_flattened())
}

/// Whether no end marker follows the last scan's start. libjpeg only warns of
/// that and makes up the rest in grey.
fn is_truncated(bytes: &[u8]) -> bool {
    let last_marker = |kind: u8| bytes.windows(2).rposition(|pair| pair == [0xff, kind]);
    match (last_marker(0xda), last_marker(0xd9)) {
        (Some(scan), Some(end)) => end < scan,
        _ => true,
    }
}
