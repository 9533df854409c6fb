//! Images with a map each in a PNG file of the same name, and the numbers in such a file.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::data::file_set::FileSet;
use crate::data::files::Tree;
use crate::data::image_set::ImageSource;
use crate::error::{Error, Result};

/// The folder that holds the images.
const IMAGES: &str = "images";

/// Images, each with a PNG file of the same name in a sibling folder.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) images: Arc<FileSet>,
    maps: Tree,
    truths: Vec<PathBuf>,
}

impl Pairs {
    /// Opens a folder that holds the folders `images` and `beside`, or a folder below
    /// `images` (`set/images/train`), whose counterpart then lies at the same place below
    /// `beside` (`set/annotations/train`). Both may lie in a zip file.
    pub(super) fn open(path: &Path, beside: &str) -> Result<Self> {
        let (image_path, truth_path) = match split_at_images(path) {
            Some((root, rest)) => (path.to_owned(), root.join(beside).join(rest)),
            None => (path.join(IMAGES), path.join(beside)),
        };
        let images = FileSet::all(&image_path).map_err(|error| match error {
            Error::Io { source, .. } => Error::data(
                &image_path,
                format!(
                    "{source}; give a folder that holds `{IMAGES}` and `{beside}`, or one below `{IMAGES}`"
                ),
            ),
            other => other,
        })?;
        let maps = Tree::open(&truth_path)?;
        let truths = (0..images.len()).map(|index| {
            let image = images.path(index);
            let inner = image.strip_prefix(&image_path).unwrap_or(&image).with_extension("png");
            if inner.to_str().is_some_and(|inner| maps.has(inner)) {
                return Ok(maps.root().join(inner));
            }
            Err(Error::data(
                maps.root().join(inner),
                format!("is missing; it belongs to {}", image.display()),
            ))
        });
        let truths = truths.collect::<Result<_>>()?;
        Ok(Self { images: Arc::new(images), maps, truths })
    }

    pub(super) fn truth_path(&self, index: usize) -> &Path {
        &self.truths[index]
    }

    /// The bytes of the file beside image `index`.
    pub(super) fn truth_bytes(&self, index: usize) -> Result<Vec<u8>> {
        self.maps.store().bytes(&self.truths[index])
    }

    /// Height and width of the upright image `index`, from its header.
    pub(super) fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        self.images.size(index)
    }
}

/// The parts of a path before and after its last folder `images`.
fn split_at_images(path: &Path) -> Option<(&Path, &Path)> {
    let images =
        path.ancestors().find(|part| part.file_name().is_some_and(|name| name == IMAGES))?;
    Some((images.parent()?, path.strip_prefix(images).ok()?))
}

/// The most memory, in bytes, for decoding a PNG file.
const MOST_BYTES: usize = 1 << 30;

/// The numbers in a PNG file, row-major: grey levels, or indices into its palette.
pub(super) struct PngNumbers {
    /// Height and width.
    pub(super) size: [usize; 2],
    pub(super) values: Vec<u16>,
    /// 1 to 16.
    pub(super) bits: u8,
    /// Whether they are indices into a palette.
    pub(super) indexed: bool,
}

/// Reads the numbers of a greyscale or palette PNG file, unscaled. `wanted` describes in
/// a message what was expected.
pub(super) fn png_numbers(bytes: &[u8], path: &Path, wanted: &str) -> Result<PngNumbers> {
    let unreadable = |reason: String| Error::data(path, format!("unreadable PNG ({reason})"));
    let damaged = |error: png::DecodingError| unreadable(error.to_string());
    let limits = Limits { bytes: MOST_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (color, depth) = reader.output_color_type();
    let indexed = color == ColorType::Indexed;
    if !indexed && color != ColorType::Grayscale {
        return Err(Error::data(path, format!("is a colour picture; {wanted}")));
    }
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().filter(|&size| size <= MOST_BYTES);
    let mut buffer = vec![0; size.ok_or_else(|| unreadable("it is too large".into()))?];
    let frame = reader.next_frame(&mut buffer).map_err(damaged)?;
    let bits = depth as u8;
    let values = buffer
        .chunks_exact(frame.line_size)
        .take(height)
        .flat_map(|line| (0..width).map(move |column| number(line, column, depth)))
        .collect();
    Ok(PngNumbers { size: [height, width], values, bits, indexed })
}

/// The number in `column` of a packed line.
fn number(line: &[u8], column: usize, depth: BitDepth) -> u16 {
    let packed = |bits: usize| {
        let at = column * bits;
        // The leftmost number is in the highest bits.
        u16::from(line[at / 8] >> (8 - bits - at % 8)) & ((1 << bits) - 1)
    };
    match depth {
        BitDepth::One => packed(1),
        BitDepth::Two => packed(2),
        BitDepth::Four => packed(4),
        BitDepth::Eight => u16::from(line[column]),
        BitDepth::Sixteen => u16::from_be_bytes([line[2 * column], line[2 * column + 1]]),
    }
}
