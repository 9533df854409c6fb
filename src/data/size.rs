/// No image with more pixels is decoded: where Pillow, too, suspects a
/// decompression bomb. A quarter of a gibibyte as 8-bit RGB.
pub const MAX_PIXELS: u64 = 89_478_485;

/// Refuses an image that has more than [`MAX_PIXELS`] or no pixels.
///
/// # Errors
/// The reason, with the numbers.
pub fn check_size(width: u64, height: u64) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        Some(0) => Err(format!("{width}x{height} pixels are none")),
        _ => Err(format!(
            "{width}x{height} pixels are more than the limit of {MAX_PIXELS}; scale it down"
        )),
    }
}
