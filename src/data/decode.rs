use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage,
};

use super::{check_size, jpeg};
use crate::error::{Error, Result};

/// What metadata before the pixels may unpack to, in bytes.
const MAX_METADATA: u64 = 32 << 20;

const UNKNOWN: &str = "its content is not JPEG, PNG, WebP, BMP or GIF";

/// Decodes a file's bytes, known by their content whatever the name ends in, to
/// upright 8-bit RGB: JPEG, PNG, WebP, BMP, or a GIF's first frame. `path` is for
/// messages.
///
/// The pixels are those of Pillow's `convert("RGB")`, JPEGs bit for bit: alpha is
/// dropped, palettes are looked up, CMYK JPEGs are taken as inverted. Two things
/// differ from it: the orientation that Exif data state is applied, as
/// `ImageOps.exif_transpose` does, and 16-bit grey keeps its high byte, as 16-bit
/// colour does, where Pillow clips everything above 255 to white.
///
/// # Errors
/// [`Error::Data`] where the bytes are damaged, truncated, of another format, or
/// have more than [`MAX_PIXELS`](super::MAX_PIXELS) pixels.
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    let decoded = match image::guess_format(bytes) {
        _ if bytes.is_empty() => Err("the file is empty".to_owned()),
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes),
        Ok(format) => guarded(|| decode_as(format, bytes)),
        Err(_) => Err(UNKNOWN.to_owned()),
    };
    decoded.map_err(|reason| Error::data(path, format!("unreadable image ({reason})")))
}

/// A decoder's panic is a damaged file, like its errors.
pub(super) fn guarded<T>(
    work: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe,
) -> Result<T, String> {
    catch_unwind(work).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        Err(said.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it is damaged").to_owned())
    })
}

/// Height and width of a picture as it is upright, found without decoding it.
///
/// # Errors
/// [`Error::Data`] where its header is damaged or of another format.
pub(super) fn dimensions(bytes: &[u8], path: &Path) -> Result<[usize; 2]> {
    let found = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::dimensions(bytes),
        Ok(format) => guarded(|| {
            let mut decoder = opened(format, bytes)?;
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().map_err(|error| error.to_string())?;
            Ok(upright([height as usize, width as usize], orientation))
        }),
        Err(_) => Err(UNKNOWN.to_owned()),
    };
    found.map_err(|reason| Error::data(path, format!("unreadable image ({reason})")))
}

/// Height and width after an orientation is applied.
pub(super) fn upright([height, width]: [usize; 2], orientation: Orientation) -> [usize; 2] {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => [width, height],
        _ => [height, width],
    }
}

/// A decoder that has read what comes before the pixels.
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

fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<RgbImage, String> {
    let reason = |error: image::ImageError| error.to_string();
    let mut decoder = opened(format, bytes)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
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
