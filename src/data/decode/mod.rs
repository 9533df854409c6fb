//! Image files to pixels.

use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage,
};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::resample::check_size;
use crate::error::{Error, Result};

/// The most bytes that metadata before the pixels may unpack to.
const MAX_METADATA: u64 = 32 << 20;

const UNKNOWN: &str = "its content is not JPEG, PNG, WebP, BMP or GIF";

/// Decodes a file to upright 8-bit RGB: JPEG, PNG, WebP, BMP, or the first frame of a
/// GIF, by content and not by extension. `path` is for messages.
///
/// The pixels are those of Pillow's `convert("RGB")`, for JPEG bit for bit: alpha is
/// dropped, palettes are resolved, CMYK JPEGs are taken as inverted. Two things differ:
/// Exif orientation is applied, as by `ImageOps.exif_transpose`; and 16-bit grey keeps
/// its high byte, as 16-bit colour does, where Pillow clips values above 255 to white.
///
/// # Errors
/// [`Error::Data`] where the bytes are damaged, truncated, of another format, or
/// have more than [`MAX_PIXELS`](super::MAX_PIXELS) pixels.
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    let decoded = match image::guess_format(bytes) {
        _ if bytes.is_empty() => Err("the file is empty".to_owned()),
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes),
        Ok(format) => guarded(|| decode_as(format, bytes)),
        Err(_) => Err(UNKNOWN.to_owned()),
    };
    decoded.map_err(|reason| Error::data(path, format!("unreadable image ({reason})")))
}

/// Turns a decoder's panic into an error: the file is damaged.
fn guarded<T>(
    work: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe,
) -> Result<T, String> {
    catch_unwind(work).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        Err(said.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it is damaged").to_owned())
    })
}

/// Height and width of the upright image, from its header.
///
/// # Errors
/// [`Error::Data`] where its header is damaged or of another format.
pub(super) fn dimensions(bytes: &[u8], path: &Path) -> Result<[usize; 2]> {
    let found = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg_dimensions(bytes),
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

fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<RgbImage, String> {
    let reason = |error: image::ImageError| error.to_string();
    let mut decoder = opened(format, bytes)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into()).map_err(|error| error.to_string())?;
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

/// Decodes a JPEG with libjpeg-turbo's results, which are Pillow's bit for bit, and
/// applies its orientation. The error is the reason.
fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    if is_truncated_jpeg(bytes) {
        return Err("the JPEG data ends early".into());
    }
    // libjpeg's errors unwind.
    guarded(|| read_jpeg(bytes))
}

fn read_jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    let reason = |error: std::io::Error| error.to_string();
    let jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes).map_err(reason)?;
    let (width, height) = jpeg.size();
    check_size(width as u64, height as u64).map_err(|error| error.to_string())?;
    let orientation = jpeg_orientation(&jpeg);
    let has_black = [ColorSpace::JCS_CMYK, ColorSpace::JCS_YCCK].contains(&jpeg.color_space());
    let space = if has_black { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut rows = jpeg.to_colorspace(space).map_err(reason)?;
    let pixels: Vec<[u8; 3]> = if has_black {
        rows.read_scanlines::<[u8; 4]>().map_err(reason)?.into_iter().map(cmyk_to_rgb).collect()
    } else {
        rows.read_scanlines().map_err(reason)?
    };
    rows.finish().map_err(reason)?;
    let image = RgbImage::from_raw(width as u32, height as u32, pixels.into_flattened());
    let mut image = DynamicImage::ImageRgb8(image.ok_or("some of its rows are missing")?);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Height and width of the upright image, from the header.
fn jpeg_dimensions(bytes: &[u8]) -> Result<[usize; 2], String> {
    guarded(|| {
        let jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes);
        let jpeg = jpeg.map_err(|error| error.to_string())?;
        let (width, height) = jpeg.size();
        Ok(upright([height, width], jpeg_orientation(&jpeg)))
    })
}

fn jpeg_orientation(jpeg: &Decompress<&[u8]>) -> Orientation {
    let exif = jpeg.markers().filter_map(|marker| marker.data.strip_prefix(b"Exif\0\0"));
    exif.filter_map(Orientation::from_exif_chunk).next().unwrap_or(Orientation::NoTransforms)
}

/// Pillow's conversion of CMYK, which it takes as inverted, as Adobe writes it.
fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(255 - ink) * light + 128;
        // Division by 255, rounded.
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}

/// Whether no end marker follows the start of the last scan. libjpeg only warns and
/// fills the rest with grey.
fn is_truncated_jpeg(bytes: &[u8]) -> bool {
    let last_marker = |kind: u8| bytes.windows(2).rposition(|pair| pair == [0xff, kind]);
    match (last_marker(0xda), last_marker(0xd9)) {
        (Some(scan), Some(end)) => end < scan,
        _ => true,
    }
}
