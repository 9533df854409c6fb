//! Variables in MATLAB files of version 5 (`save -v5` to `-v7`), of the kinds that
//! published data sets use: real numbers, texts and arrays of structs.
//! <https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf>

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Numbers(Matrix),
    Text(String),
    /// An array of structs: for each field its value in every element.
    Struct(BTreeMap<String, Vec<Value>>),
    /// A type that is not read.
    Other,
}

/// Real numbers in column-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    pub(super) values: Vec<f64>,
}

/// The most bytes that a compressed variable may unpack to.
const MAX_UNPACKED: u64 = 256 << 20;
/// The most levels of nested structs.
const MAX_DEPTH: usize = 8;
const HEADER: usize = 128;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;
const STRUCT: u32 = 2;
const TEXT: u32 = 4;
const NUMBERS: std::ops::RangeInclusive<u32> = 6..=15;

/// The variables of a file by name. The error is the reason.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Value>, String> {
    if bytes.starts_with(b"MATLAB 7.3") {
        return Err("it is of MATLAB's version 7.3; save it with -v7".into());
    }
    if bytes.len() < HEADER || &bytes[126..128] != b"IM" {
        return Err("it is no MATLAB file of version 5, written on a usual machine".into());
    }
    let mut file = Cursor { rest: &bytes[HEADER..] };
    let mut variables = BTreeMap::new();
    while !file.rest.is_empty() {
        let (kind, data) = file.element()?;
        let unpacked;
        let data = match kind {
            MATRIX => data,
            COMPRESSED => {
                unpacked = unpack(data)?;
                let (kind, data) = Cursor { rest: &unpacked }.element()?;
                if kind != MATRIX {
                    continue;
                }
                data
            }
            _ => continue,
        };
        let (name, value) = matrix(data, 0)?;
        variables.insert(name, value);
    }
    Ok(variables)
}

fn unpack(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(data).take(MAX_UNPACKED + 1).read_to_end(&mut unpacked);
    match read {
        Ok(size) if size as u64 <= MAX_UNPACKED => Ok(unpacked),
        Ok(_) => Err(format!("a variable unpacks to more than {MAX_UNPACKED} bytes")),
        Err(error) => Err(format!("a variable cannot be unpacked: {error}")),
    }
}

/// A variable's name and value.
fn matrix(data: &[u8], depth: usize) -> Result<(String, Value), String> {
    // An empty array in a struct has no parts at all.
    if data.is_empty() {
        return Ok((String::new(), Value::Numbers(Matrix { values: Vec::new() })));
    }
    if depth > MAX_DEPTH {
        return Err("its structs lie too deep in one another".into());
    }
    let mut parts = Cursor { rest: data };
    let class = numbers(parts.element()?)?.first().map_or(0, |&flags| flags as u32 & 0xff);
    let sides = numbers(parts.element()?)?;
    let count = sides.iter().try_fold(1usize, |count, &side| {
        // A length beyond the file's own cannot be, and negative ones become 0.
        count.checked_mul(side as usize).filter(|&count| count <= MAX_UNPACKED as usize)
    });
    let count = count.ok_or("an array is too large")?;
    let name = text(parts.element()?)?;
    let value = match class {
        STRUCT => structs(&mut parts, count, depth)?,
        TEXT => Value::Text(text(parts.element()?)?),
        class if NUMBERS.contains(&class) => {
            let values = numbers(parts.element()?)?;
            if values.len() != count {
                return Err(format!("{name} has {} numbers in place of {count}", values.len()));
            }
            Value::Numbers(Matrix { values })
        }
        _ => Value::Other,
    };
    Ok((name, value))
}

fn structs(parts: &mut Cursor<'_>, count: usize, depth: usize) -> Result<Value, String> {
    let length = numbers(parts.element()?)?.first().map_or(0, |&length| length as usize);
    let (_, names) = parts.element()?;
    if length == 0 || length > 1024 {
        return Err("the names of a struct's fields are damaged".into());
    }
    let names = names.chunks(length).map(|name| {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        String::from_utf8_lossy(&name[..end]).into_owned()
    });
    let names: Vec<String> = names.collect();
    let mut fields: Vec<Vec<Value>> = vec![Vec::new(); names.len()];
    for _ in 0..count {
        for field in &mut fields {
            let (kind, data) = parts.element()?;
            if kind != MATRIX {
                return Err("a struct's field is no array".into());
            }
            field.push(matrix(data, depth + 1)?.1);
        }
    }
    Ok(Value::Struct(names.into_iter().zip(fields).collect()))
}

fn numbers((kind, data): (u32, &[u8])) -> Result<Vec<f64>, String> {
    macro_rules! as_f64 {
        ($kind:ty) => {{
            let (whole, _) = data.as_chunks::<{ size_of::<$kind>() }>();
            whole.iter().map(|bytes| <$kind>::from_le_bytes(*bytes) as f64).collect()
        }};
    }
    Ok(match kind {
        1 => as_f64!(i8),
        2 => as_f64!(u8),
        3 => as_f64!(i16),
        4 => as_f64!(u16),
        5 => as_f64!(i32),
        6 => as_f64!(u32),
        7 => as_f64!(f32),
        9 => as_f64!(f64),
        12 => as_f64!(i64),
        13 => as_f64!(u64),
        _ => return Err(format!("numbers of the unknown kind {kind}")),
    })
}

fn text((kind, data): (u32, &[u8])) -> Result<String, String> {
    Ok(match kind {
        1 | 2 | 16 => String::from_utf8_lossy(data).into_owned(),
        4 | 17 => {
            let units: Vec<u16> =
                data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
            String::from_utf16_lossy(&units)
        }
        _ => return Err(format!("a text of the unknown kind {kind}")),
    })
}

/// Reads elements: a kind, a length and that many bytes, padded to eight.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn element(&mut self) -> Result<(u32, &'a [u8]), String> {
        let word = |at: usize| {
            let bytes = self.rest.get(at..at + 4)?;
            bytes.try_into().ok().map(u32::from_le_bytes)
        };
        let cut = || "it is cut off".to_owned();
        let first = word(0).ok_or_else(cut)?;
        // Up to four bytes lie in the tag itself.
        let (kind, start, size, whole) = match first >> 16 {
            0 => {
                let size = word(4).ok_or_else(cut)? as usize;
                let padded = if first == COMPRESSED { size } else { size.next_multiple_of(8) };
                (first, 8, size, 8 + padded)
            }
            size => (first & 0xffff, 4, size as usize, 8),
        };
        let data = self.rest.get(start..start + size).ok_or_else(cut)?;
        self.rest = self.rest.get(whole..).unwrap_or_default();
        Ok((kind, data))
    }
}
