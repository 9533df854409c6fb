//! Image files to pixels.

mod jpeg;
mod tiff;

use std::any::Any;
use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Mutex;

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage,
};

use super::resample::{LARGE_PIXELS, MAX_PIXELS, check_size};
use crate::error::{Error, Result};

/// The most bytes that metadata before the pixels may unpack to.
const MAX_METADATA: u64 = 32 << 20;

const UNKNOWN: &str = "its content is not JPEG, PNG, WebP, BMP, GIF or TIFF";

/// Held while an image of more than [`LARGE_PIXELS`] is decoded: one at a time, as each
/// may take gigabytes.
static LARGE: Mutex<()> = Mutex::new(());

/// Decodes a file to upright 8-bit RGB: JPEG, PNG, WebP, BMP, TIFF, or the first frame of
/// a GIF, by content and not by extension. `path` is for messages.
///
/// The pixels are those of Pillow's `convert("RGB")`, for JPEG bit for bit: alpha is
/// dropped, palettes are resolved, CMYK JPEGs are taken as inverted. Three things differ:
/// Exif orientation is applied, as by `ImageOps.exif_transpose`; 16-bit grey keeps
/// its high byte, as 16-bit colour does, where Pillow clips values above 255 to white; and
/// a JPEG of more than [`LARGE_PIXELS`] is decoded at a half, a quarter or an eighth of its
/// size, the largest that has no more, as by Pillow's `draft`.
///
/// # Errors
/// [`Error::Data`] where the bytes are damaged, truncated, of another format, or
/// have more than [`MAX_PIXELS`] pixels.
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    decode_within(bytes, path, MAX_PIXELS)
}

/// As [`decode`], with another limit on the number of pixels.
pub(super) fn decode_within(bytes: &[u8], path: &Path, max_pixels: u64) -> Result<RgbImage> {
    let decoded = match format_of(bytes) {
        _ if bytes.is_empty() => Err("the file is empty".to_owned()),
        Some(ImageFormat::Jpeg) => jpeg::decode(bytes, max_pixels),
        Some(ImageFormat::Tiff) => guarded(|| tiff::decode(bytes, max_pixels)),
        Some(format) => guarded(|| decode_as(format, bytes, max_pixels)),
        None => Err(unknown(bytes)),
    };
    decoded.map_err(|reason| Error::data(path, format!("unreadable image ({reason})")))
}

fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    // The image crate knows no BigTIFF.
    let big = [b"II\x2b\0", b"MM\0\x2b"].iter().any(|magic| bytes.starts_with(*magic));
    if big { Some(ImageFormat::Tiff) } else { image::guess_format(bytes).ok() }
}

/// Why a file of no known format cannot be read; of a NumPy array it names the shape.
fn unknown(bytes: &[u8]) -> String {
    let header = bytes.starts_with(b"\x93NUMPY").then(|| &bytes[..bytes.len().min(512)]);
    let text = header.map(String::from_utf8_lossy).unwrap_or_default();
    let shape = text.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
    match shape {
        Some((shape, _)) => format!(
            "it is a NumPy array of shape ({shape}); images are read from image files of grey or RGB"
        ),
        None => UNKNOWN.to_owned(),
    }
}

/// Whether an image is within the limit, and what is held while it is decoded.
fn admit(width: u64, height: u64, limit: u64) -> Result<Option<impl Drop>, String> {
    check_size(width, height, limit).map_err(|error| error.to_string())?;
    let large = width * height > LARGE_PIXELS;
    Ok(large.then(|| LARGE.lock().unwrap_or_else(|poison| poison.into_inner())))
}

/// Turns a decoder's panic into an error: the file is damaged.
fn guarded<T>(
    work: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe,
) -> Result<T, String> {
    catch_unwind(work)
        .unwrap_or_else(|panic| Err(said(&*panic).unwrap_or("it is damaged").to_owned()))
}

/// What a panic said; none where that is no text.
pub(super) fn said(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
}

/// Height and width of the upright image as [`decode`] gives it, from its header.
///
/// # Errors
/// [`Error::Data`] where its header is damaged or of another format.
pub(super) fn dimensions(bytes: &[u8], path: &Path) -> Result<[usize; 2]> {
    let found = match format_of(bytes) {
        Some(ImageFormat::Jpeg) => jpeg::dimensions(bytes),
        Some(ImageFormat::Tiff) => guarded(|| tiff::dimensions(bytes)),
        Some(format) => guarded(|| {
            let mut decoder = opened(format, bytes)?;
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().map_err(|error| error.to_string())?;
            Ok(upright([height as usize, width as usize], orientation))
        }),
        None => Err(unknown(bytes)),
    };
    found.map_err(|reason| Error::data(path, format!("unreadable image ({reason})")))
}

/// Height and width after an orientation is applied.
fn upright([height, width]: [usize; 2], orientation: Orientation) -> [usize; 2] {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => [width, height],
        _ => [height, width],
    }
}

/// A decoder that has read the header.
fn opened(format: ImageFormat, bytes: &[u8]) -> Result<impl ImageDecoder, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits(0));
    reader.into_decoder().map_err(|error| error.to_string())
}

fn limits(pixels: u64) -> Limits {
    let mut limits = Limits::default();
    // Some decoders hold the pixels twice.
    limits.max_alloc = Some(MAX_METADATA + 2 * pixels);
    limits
}

fn decode_as(format: ImageFormat, bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    let reason = |error: image::ImageError| error.to_string();
    let mut decoder = opened(format, bytes)?;
    let (width, height) = decoder.dimensions();
    let _held = admit(width.into(), height.into(), max_pixels)?;
    decoder.set_limits(limits(decoder.total_bytes())).map_err(reason)?;
    let orientation = decoder.orientation().map_err(reason)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(reason)?;
    image.apply_orientation(orientation);
    Ok(match &image {
        DynamicImage::ImageLuma16(pixels) => high_bytes(pixels),
        DynamicImage::ImageLumaA16(pixels) => high_bytes(pixels),
        DynamicImage::ImageRgb16(pixels) => high_bytes(pixels),
        DynamicImage::ImageRgba16(pixels) => high_bytes(pixels),
        _ => image.into_rgb8(),
    })
}

fn high_bytes<P: Pixel<Subpixel = u16>>(image: &ImageBuffer<P, Vec<u16>>) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let colour = match *image.get_pixel(x, y).channels() {
            [r, g, b, ..] => [r, g, b],
            [grey, ..] => [grey; 3],
            [] => [0; 3],
        };
        Rgb(colour.map(|value| (value >> 8) as u8))
    })
}

/// Pillow's conversion of CMYK that is stored inverted, as Adobe writes it into JPEGs.
fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(255 - ink) * light + 128;
        // Division by 255, rounded.
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}
