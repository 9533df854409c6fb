use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::error::{Error, Result};

/// Most memory that a PNG file may take while it is decoded.
const MOST_BYTES: usize = 1 << 30;

/// The numbers in a PNG file, row-major: grey levels, or indices into its palette.
pub(super) struct Numbers {
    /// Height and width.
    pub(super) size: [usize; 2],
    pub(super) values: Vec<u16>,
    /// 1 to 16.
    pub(super) bits: u8,
    /// Whether they are indices into a palette.
    pub(super) indexed: bool,
}

/// Reads a greyscale or palette PNG file's numbers as they are. `wanted` says in
/// a message what the file should be.
pub(super) fn numbers(bytes: &[u8], path: &Path, wanted: &str) -> Result<Numbers> {
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
    Ok(Numbers { size: [height, width], values, bits, indexed })
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
