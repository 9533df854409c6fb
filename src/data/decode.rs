use std::path::Path;

use image::{ImageError, RgbImage};

use crate::error::{Error, Result};

/// Decodes a JPEG or PNG file's bytes to 8-bit RGB. `path` is for messages.
///
/// # Errors
/// [`Error::Data`] where the bytes are damaged or of another format.
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    let unreadable = |error: ImageError| Error::data(path, format!("unreadable image ({error})"));
    Ok(image::load_from_memory(bytes).map_err(unreadable)?.into_rgb8())
}
