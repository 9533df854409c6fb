use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::{machine, state_dict};
use crate::weights::contents::Contents;

/// More files than any checkpoint has tensors.
const MAX_FILES: u64 = 1 << 17;

const TORCHSCRIPT: &str = "it is a TorchScript archive, which is a program: take its weights out \
    with torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), 'weights.pth')";

/// The tensors of a zip archive of `torch.save`. Torch stores the parts without
/// compression, so they are read where they lie and cannot grow.
pub(in crate::weights) fn contents(map: &Arc<Mmap>) -> Result<Contents, String> {
    let parts = parts(map)?;
    let root = parts
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| root.is_empty() || root.find('/') == Some(root.len() - 1))
        .min()
        .ok_or("it is a zip archive without data.pkl, so torch.save did not write it")?;
    let part = |name: &str| parts.get(format!("{root}{name}").as_str()).cloned();
    if part("byteorder").is_some_and(|order| map[order] != *b"little") {
        return Err("its numbers are not little-endian".into());
    }
    let pickle = machine::read(&map[part("data.pkl").unwrap_or_default()])?;
    state_dict::contents(map, &pickle, |storage| part(&format!("data/{}", storage.key)))
}

/// Where the archive's files lie, by name; the layout is that of
/// [APPNOTE](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT) 4.3.
fn parts(bytes: &[u8]) -> Result<HashMap<&str, Range<usize>>, String> {
    let (count, mut at) =
        directory(bytes).ok_or("its zip directory is missing: it is truncated")?;
    if count > MAX_FILES {
        return Err(format!("its zip directory lists {count} files, more than {MAX_FILES}"));
    }
    let mut parts = HashMap::new();
    for _ in 0..count {
        let entry = Entry::read(bytes, at).ok_or("its zip directory is damaged")?;
        if entry.name.ends_with("/constants.pkl") || entry.name.contains("/code/") {
            return Err(TORCHSCRIPT.into());
        }
        if entry.method != 0 {
            return Err(format!("{} in it is compressed, which torch.save never does", entry.name));
        }
        let place = entry
            .place(bytes)
            .ok_or_else(|| format!("{} in it reaches past its end", entry.name))?;
        if parts.insert(entry.name, place).is_some() {
            return Err(format!("two files in it are named {}", entry.name));
        }
        at = entry.end;
    }
    Ok(parts)
}

/// The number of files and the offset of the first one's record.
fn directory(bytes: &[u8]) -> Option<(u64, usize)> {
    // The end record is 22 bytes and a comment of at most 64 KiB.
    let tail = bytes.len().saturating_sub(22 + 0xffff);
    let end = tail + bytes.get(tail..)?.windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let comment = number::<2>(bytes, end + 20)? as usize;
    (end + 22 + comment == bytes.len()).then_some(())?;
    let (count, start) = (number::<2>(bytes, end + 10)?, number::<4>(bytes, end + 16)?);
    if count != 0xffff && start != 0xffff_ffff {
        return Some((count, start as usize));
    }
    let locator = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(b"PK\x06\x07"))?;
    let end64 = usize::try_from(number::<8>(bytes, locator + 8)?).ok()?;
    bytes.get(end64..)?.starts_with(b"PK\x06\x06").then_some(())?;
    let start = number::<8>(bytes, end64.checked_add(48)?)?;
    Some((number::<8>(bytes, end64.checked_add(32)?)?, usize::try_from(start).ok()?))
}

struct Entry<'a> {
    name: &'a str,
    method: u64,
    size: u64,
    header: u64,
    /// Of its record in the directory.
    end: usize,
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.starts_with(b"PK\x01\x02").then_some(())?;
        let field = |offset: usize| at.checked_add(offset);
        let short = |offset| number::<2>(bytes, field(offset)?);
        let long = |offset| number::<4>(bytes, field(offset)?);
        let name_at = field(46)?;
        let extra_at = name_at + short(28)? as usize;
        let comment_at = extra_at + short(30)? as usize;
        let name = std::str::from_utf8(bytes.get(name_at..extra_at)?).ok()?;
        let (stored, mut size, mut header) = (long(20)?, long(24)?, long(42)?);
        let mut wide = wide_fields(bytes.get(extra_at..comment_at)?).chunks_exact(8);
        // Only the fields that do not fit are there, in this order.
        let mut widened = || wide.next().and_then(|field| number::<8>(field, 0));
        if size == 0xffff_ffff {
            size = widened()?;
        }
        if stored == 0xffff_ffff {
            widened()?;
        }
        if header == 0xffff_ffff {
            header = widened()?;
        }
        let end = comment_at + short(32)? as usize;
        Some(Self { name, method: short(10)?, size, header, end })
    }

    fn place(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let header = usize::try_from(self.header).ok()?;
        bytes.get(header..)?.starts_with(b"PK\x03\x04").then_some(())?;
        let names = number::<2>(bytes, header + 26)? + number::<2>(bytes, header + 28)?;
        let start = header + 30 + names as usize;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        (end <= bytes.len()).then_some(start..end)
    }
}

/// The body of the zip64 field among the extra ones.
fn wide_fields(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(length)) = (number::<2>(extra, 0), number::<2>(extra, 2)) {
        let Some(body) = extra.get(4..4 + length as usize) else {
            break;
        };
        if id == 1 {
            return body;
        }
        extra = &extra[4 + body.len()..];
    }
    &[]
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(bytes.get(at..)?.get(..N)?);
    Some(u64::from_le_bytes(wide))
}
