use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::check_size;
use super::decode::{guarded, upright};

/// Decodes a JPEG as libjpeg-turbo does, so that it equals Pillow's bit for bit,
/// and turns it upright. The error is the reason.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    if is_truncated(bytes) {
        return Err("the JPEG data ends early".into());
    }
    // libjpeg's errors unwind.
    guarded(|| read(bytes))
}

fn read(bytes: &[u8]) -> Result<RgbImage, String> {
    let reason = |error: std::io::Error| error.to_string();
    let jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes).map_err(reason)?;
    let (width, height) = jpeg.size();
    check_size(width as u64, height as u64)?;
    let orientation = orientation(&jpeg);
    let has_black = [ColorSpace::JCS_CMYK, ColorSpace::JCS_YCCK].contains(&jpeg.color_space());
    let space = if has_black { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut rows = jpeg.to_colorspace(space).map_err(reason)?;
    let pixels: Vec<[u8; 3]> = if has_black {
        rows.read_scanlines::<[u8; 4]>().map_err(reason)?.into_iter().map(rgb).collect()
    } else {
        rows.read_scanlines().map_err(reason)?
    };
    rows.finish().map_err(reason)?;
    let image = RgbImage::from_raw(width as u32, height as u32, pixels.into_flattened());
    let mut image = DynamicImage::ImageRgb8(image.ok_or("some of its rows are missing")?);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Height and width as they are upright, from the header.
pub(super) fn dimensions(bytes: &[u8]) -> Result<[usize; 2], String> {
    guarded(|| {
        let jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes);
        let jpeg = jpeg.map_err(|error| error.to_string())?;
        let (width, height) = jpeg.size();
        Ok(upright([height, width], orientation(&jpeg)))
    })
}

fn orientation(jpeg: &Decompress<&[u8]>) -> Orientation {
    let exif = jpeg.markers().filter_map(|marker| marker.data.strip_prefix(b"Exif\0\0"));
    exif.filter_map(Orientation::from_exif_chunk).next().unwrap_or(Orientation::NoTransforms)
}

/// Pillow's conversion of CMYK, which it takes as Adobe writes it: inverted.
fn rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(255 - ink) * light + 128;
        // Division by 255, rounded.
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
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
