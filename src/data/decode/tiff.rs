use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::{admit, cmyk_to_rgb, upright};

/// Decodes the first image of a TIFF file: grey or RGB, with alpha or without, CMYK, or
/// YCbCr compressed as JPEG, of 8 or 16 bits. The error is the reason.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    let mut file = open(bytes)?;
    let (width, height) = file.dimensions().map_err(reason)?;
    let _held = admit(width.into(), height.into(), max_pixels)?;
    let layout = Layout::of(&mut file)?;
    let pixels = usize::try_from(u64::from(width) * u64::from(height)).map_err(reason)?;
    let mut limits = Limits::default();
    // 16-bit RGBA.
    limits.decoding_buffer_size = 8 * pixels;
    limits.intermediate_buffer_size = bytes.len();
    let mut file = file.with_limits(limits);
    if layout.jpeg {
        check_jpegs(&mut file, bytes)?;
    }
    let samples = match layout.planes {
        true => planes(&mut file, layout.channels, pixels)?,
        false => eight_bits(file.read_image().map_err(reason)?)?,
    };
    let rgb = layout.rgb(&samples);
    let image = RgbImage::from_raw(width, height, rgb).ok_or("some of its rows are missing")?;
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation(&mut file)?);
    Ok(image.into_rgb8())
}

/// Height and width of the upright image.
pub(super) fn dimensions(bytes: &[u8]) -> Result<[usize; 2], String> {
    let mut file = open(bytes)?;
    let (width, height) = file.dimensions().map_err(reason)?;
    Ok(upright([height as usize, width as usize], orientation(&mut file)?))
}

type File<'a> = Decoder<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<File<'_>, String> {
    Decoder::new(Cursor::new(bytes)).map_err(reason)
}

fn reason(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn number(file: &mut File, tag: Tag) -> Result<Option<u16>, String> {
    file.find_tag_unsigned(tag).map_err(reason)
}

fn orientation(file: &mut File) -> Result<Orientation, String> {
    let value = number(file, Tag::Orientation)?.and_then(|value| u8::try_from(value).ok());
    Ok(value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms))
}

/// How colours are stored.
struct Layout {
    colour: Colour,
    channels: usize,
    /// Whether each channel is stored by itself.
    planes: bool,
    /// Whether pixels are compressed as JPEG.
    jpeg: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Grey,
    Rgb,
    /// Alpha is dropped.
    Rgba,
    /// Colours are multiplied by alpha.
    Premultiplied,
    Cmyk,
}

impl Layout {
    fn of(file: &mut File) -> Result<Self, String> {
        const JPEG: u16 = 7;
        const PLANES: u16 = 2;
        const PALETTE: u16 = 3;
        const PREMULTIPLIED: u16 = 1;
        const ALPHA: u16 = 2;
        let channels = number(file, Tag::SamplesPerPixel)?.unwrap_or(1);
        let jpeg = number(file, Tag::Compression)? == Some(JPEG);
        let planes = number(file, Tag::PlanarConfiguration)? == Some(PLANES) && channels > 1;
        let extra: Option<Vec<u16>> =
            file.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(reason)?;
        if number(file, Tag::PhotometricInterpretation)? == Some(PALETTE) {
            return Err("it has a palette, which TIFF is not read with; save it as RGB".into());
        }
        let other = || {
            let wanted = "images of one (grey), three (RGB) or four with alpha are read";
            format!("it has {channels} channels; {wanted}")
        };
        let colour = match (file.colortype(), extra.as_deref()) {
            (Ok(ColorType::Gray(8 | 16)), _) => Colour::Grey,
            (Ok(ColorType::RGB(8 | 16)), _) => Colour::Rgb,
            (Ok(ColorType::RGBA(8 | 16)), Some([PREMULTIPLIED])) => Colour::Premultiplied,
            (Ok(ColorType::RGBA(8 | 16)), Some([ALPHA])) => Colour::Rgba,
            (Ok(ColorType::CMYK(8)), _) => Colour::Cmyk,
            // The reader of JPEG makes it RGB.
            (Ok(ColorType::YCbCr(8)), _) if jpeg => Colour::Rgb,
            (Ok(ColorType::RGBA(_)) | Err(TiffError::UnsupportedError(_)), _) => {
                return Err(other());
            }
            (Ok(kind), _) => {
                return Err(format!("it is {kind:?}; grey and RGB of 8 or 16 bits are read"));
            }
            (Err(error), _) => return Err(reason(error)),
        };
        Ok(Self { colour, channels: channels.into(), planes, jpeg })
    }

    fn rgb(&self, samples: &[u8]) -> Vec<u8> {
        match self.colour {
            Colour::Grey => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
            Colour::Rgb => samples.to_vec(),
            Colour::Rgba => by_pixel(samples, |[r, g, b, _]| [r, g, b]),
            Colour::Premultiplied => by_pixel(samples, |[r, g, b, alpha]| {
                [r, g, b].map(|value| match alpha {
                    0 => 0,
                    _ => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
                })
            }),
            Colour::Cmyk => by_pixel(samples, |inks| cmyk_to_rgb(inks.map(|ink| 255 - ink))),
        }
    }
}

fn by_pixel(samples: &[u8], rgb: impl Fn([u8; 4]) -> [u8; 3]) -> Vec<u8> {
    samples.as_chunks::<4>().0.iter().flat_map(|&pixel| rgb(pixel)).collect()
}

/// Samples of 8 bits; of 16 the high byte, as of other formats.
fn eight_bits(samples: DecodingResult) -> Result<Vec<u8>, String> {
    match samples {
        DecodingResult::U8(samples) => Ok(samples),
        DecodingResult::U16(samples) => Ok(samples.iter().map(|v| (v >> 8) as u8).collect()),
        _ => Err("its samples are no whole numbers of 8 or 16 bits from 0 on".into()),
    }
}

/// The samples of an image whose channels are stored one after the other, pixel by pixel.
fn planes(file: &mut File, channels: usize, pixels: usize) -> Result<Vec<u8>, String> {
    if file.get_chunk_type() != ChunkType::Strip {
        return Err("its channels are stored in tiles of their own".into());
    }
    let strips = file.strip_count().map_err(reason)?;
    let mut all = Vec::with_capacity(channels * pixels);
    for strip in 0..strips {
        all.extend(eight_bits(file.read_chunk(strip).map_err(reason)?)?);
    }
    if all.len() != channels * pixels {
        return Err("some of its rows are missing".into());
    }
    Ok((0..pixels)
        .flat_map(|at| (0..channels).map(move |channel| (at, channel)))
        .map(|(at, channel)| all[channel * pixels + at])
        .collect())
}

/// Rejects a part compressed as JPEG that would unpack to more than the part has pixels: its
/// reader allocates what the part's own header says.
fn check_jpegs(file: &mut File, bytes: &[u8]) -> Result<(), String> {
    let offsets = match file.get_chunk_type() {
        ChunkType::Strip => Tag::StripOffsets,
        ChunkType::Tile => Tag::TileOffsets,
    };
    let (width, height) = file.chunk_dimensions();
    let most = (u64::from(width) + 16) * (u64::from(height) + 16);
    for offset in file.get_tag_u64_vec(offsets).map_err(reason)? {
        let part = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let size = part.and_then(super::jpeg::frame_size).ok_or("a part of it is damaged")?;
        if size > most {
            return Err("a part of it is larger than its header says".into());
        }
    }
    Ok(())
}
