use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::{admit, cmyk_to_rgb, guarded, upright};
use crate::data::resample::LARGE_PIXELS;

/// Decodes a JPEG with libjpeg-turbo's results, which are Pillow's bit for bit, and
/// applies its orientation. The error is the reason.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    // What follows the image, as the film of a motion photo, is none of the decoder's business.
    let end = end(bytes).ok_or("the JPEG data ends early")?;
    // libjpeg's errors unwind.
    guarded(|| read(&bytes[..end], max_pixels))
}

fn read(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    let reason = |error: std::io::Error| error.to_string();
    let mut jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes).map_err(reason)?;
    let (width, height) = jpeg.size();
    let _held = admit(width as u64, height as u64, max_pixels)?;
    let orientation = orientation(&jpeg);
    jpeg.scale(eighths(width, height));
    let has_black = [ColorSpace::JCS_CMYK, ColorSpace::JCS_YCCK].contains(&jpeg.color_space());
    let space = if has_black { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut rows = jpeg.to_colorspace(space).map_err(reason)?;
    let (width, height) = (rows.width() as u32, rows.height() as u32);
    let pixels: Vec<[u8; 3]> = if has_black {
        rows.read_scanlines::<[u8; 4]>().map_err(reason)?.into_iter().map(cmyk_to_rgb).collect()
    } else {
        rows.read_scanlines().map_err(reason)?
    };
    rows.finish().map_err(reason)?;
    let image = RgbImage::from_raw(width, height, pixels.into_flattened());
    let mut image = DynamicImage::ImageRgb8(image.ok_or("some of its rows are missing")?);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Height and width of the upright image as it is decoded, from the header.
pub(super) fn dimensions(bytes: &[u8]) -> Result<[usize; 2], String> {
    guarded(|| {
        let jpeg = Decompress::with_markers(&[Marker::APP(1)]).from_mem(bytes);
        let jpeg = jpeg.map_err(|error| error.to_string())?;
        let (width, height) = jpeg.size();
        let scaled = |side: usize| (side * usize::from(eighths(width, height))).div_ceil(8);
        Ok(upright([height, width].map(scaled), orientation(&jpeg)))
    })
}

/// The scale at which an image of this size is decoded, in eighths.
fn eighths(width: usize, height: usize) -> u8 {
    let pixels = |scale: u8| {
        let [width, height] = [width, height].map(|side| side as u64 * u64::from(scale) / 8);
        width * height
    };
    [8, 4, 2].into_iter().find(|&scale| pixels(scale) <= LARGE_PIXELS).unwrap_or(1)
}

fn orientation(jpeg: &Decompress<&[u8]>) -> Orientation {
    let exif = jpeg.markers().filter_map(|marker| marker.data.strip_prefix(b"Exif\0\0"));
    exif.filter_map(Orientation::from_exif_chunk).next().unwrap_or(Orientation::NoTransforms)
}

/// Where the image ends: behind the first end marker that follows a scan and lies in no
/// segment; none where there is none. libjpeg only warns there, and fills the rest with grey.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut scanned = false;
    for (kind, at, _) in Markers::new(bytes) {
        if kind == END && scanned {
            return Some(at + 2);
        }
        scanned |= kind == SCAN;
    }
    None
}

/// The pixels that the header states; none where there is no header.
pub(super) fn frame_size(bytes: &[u8]) -> Option<u64> {
    let frame =
        |kind| matches!(kind, 0xc0..=0xcf) && ![TABLES, EXTENSION, ARITHMETIC].contains(&kind);
    let (.., segment) = Markers::new(bytes).find(|&(kind, ..)| frame(kind))?;
    let side = |at: usize| Some(u64::from(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?)));
    Some(side(1)? * side(3)?)
}

/// The markers of a JPEG, each with its place and the bytes of its segment.
struct Markers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2 }
    }
}

impl<'a> Iterator for Markers<'a> {
    type Item = (u8, usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.at + self.bytes.get(self.at..)?.iter().position(|&byte| byte == 0xff)?;
            let kind = *self.bytes.get(at + 1)?;
            match kind {
                // Tables, scans, comments and what applications add state their length.
                0xc0..=0xcf | SCAN..=0xef | 0xfe => {
                    let length = self.bytes.get(at + 2..)?.first_chunk()?;
                    self.at = at + 2 + usize::from(u16::from_be_bytes(*length));
                    return Some((kind, at, self.bytes.get(at + 4..self.at).unwrap_or_default()));
                }
                END => {
                    self.at = at + 2;
                    return Some((kind, at, &[]));
                }
                // Fill bytes.
                0xff => self.at = at + 1,
                // A byte 0xff of the scan, a restart, or nothing known.
                _ => self.at = at + 2,
            }
        }
    }
}

/// The marker of a scan.
const SCAN: u8 = 0xda;
/// The marker of the image's end.
const END: u8 = 0xd9;
/// Markers that lie among those of frames.
const TABLES: u8 = 0xc4;
const EXTENSION: u8 = 0xc8;
const ARITHMETIC: u8 = 0xcc;
