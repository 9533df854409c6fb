use image::metadata::Orientation;
use image::{DynamicImage, Rgb, RgbImage};
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::{admit, cmyk_to_rgb, guarded, upright};
use crate::data::resample::LARGE_PIXELS;

/// Decodes a JPEG with libjpeg-turbo's results, which are Pillow's bit for bit, and
/// applies its orientation. The error is the reason.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    // What follows the image, as the film of a motion photo, is none of the decoder's business.
    let early = "the JPEG data ends early";
    let bytes = &bytes[..end(bytes).ok_or(early)?];
    // libjpeg's errors unwind.
    let (image, orientation) = guarded(|| read(bytes, max_pixels))?;
    if ends_grey(&image) {
        let more = guarded(|| read(&with_more(bytes), max_pixels));
        if more.map_err(|_| early)?.0 != image {
            return Err(early.into());
        }
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Whether the last pixel is what libjpeg fills missing data with: mid-grey, in CMYK a
/// darker one.
fn ends_grey(image: &RgbImage) -> bool {
    let &Rgb([r, g, b]) = image.get_pixel(image.width() - 1, image.height() - 1);
    r == g && g == b && (matches!(r, 127..=129) || matches!(r, 62..=66))
}

/// The same image with further data before its end. If it was whole they change nothing, else
/// they take the place of what is missing.
fn with_more(bytes: &[u8]) -> Vec<u8> {
    let (image, end) = bytes.split_at(bytes.len() - 2);
    let more = (0..2048_u32).map(|number| (number * 73 % 251) as u8);
    image.iter().copied().chain(more).chain(end.iter().copied()).collect()
}

/// The image as it is stored, and how it is turned.
fn read(bytes: &[u8], max_pixels: u64) -> Result<(RgbImage, Orientation), String> {
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
    Ok((image.ok_or("some of its rows are missing")?, orientation))
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

/// Where the image ends: behind the first end marker that follows its scans and lies in no
/// segment; none where there is none, or where the scans of a progressive image leave some of
/// the coefficients coarse. libjpeg only warns there, or not even that.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut scanned = false;
    // The lowest bit that is known of each coefficient of each component; of other images none.
    let mut bits: Option<Vec<(u8, [u8; 64])>> = None;
    for (kind, at, segment) in Markers::new(bytes) {
        match kind {
            PROGRESSIVE => {
                let components = segment.get(6..)?.chunks_exact(3);
                bits = Some(components.map(|component| (component[0], [u8::MAX; 64])).collect());
            }
            SCAN => {
                scanned = true;
                let count = usize::from(*segment.first()?);
                let (components, rest) = segment.get(1..)?.split_at_checked(2 * count)?;
                let &[from, to, precision, ..] = rest else { return None };
                let known = bits.iter_mut().flatten();
                for (_, bits) in
                    known.filter(|(id, _)| components.iter().step_by(2).any(|c| c == id))
                {
                    bits.get_mut(from.into()..=to.into())?.fill(precision & 15);
                }
            }
            END if scanned => {
                let fine = bits.iter().flatten().all(|(_, bits)| bits.iter().all(|&bit| bit == 0));
                return fine.then_some(at + 2);
            }
            _ => {}
        }
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

/// The marker of a progressive image's header.
const PROGRESSIVE: u8 = 0xc2;
/// The marker of a scan.
const SCAN: u8 = 0xda;
/// The marker of the image's end.
const END: u8 = 0xd9;
/// Markers that lie among those of frames.
const TABLES: u8 = 0xc4;
const EXTENSION: u8 = 0xc8;
const ARITHMETIC: u8 = 0xcc;
