//! Samples in tar files, as webdataset writes them: members that share the part of their path
//! before the first dot of the file name belong together.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tar::{Archive, Entries, Entry, EntryType, PaxExtensions};

use super::remote::Failed;
use super::sample::{Content, Sample};
use super::shard::{Give, Place, Shard};
use crate::data::files::{MAX_FILE, is_image};
use crate::error::{Error, Result};

/// The most bytes of a label's file, and of a header that continues another.
const MAX_TEXT: u64 = 1 << 20;
/// Bytes of a block.
const BLOCK: u64 = 512;
/// Keys of a JSON file that hold the label, in order of preference.
const LABELS: [&str; 3] = ["label", "cls", "class"];
/// Members that are looked at to tell what kind of tar file it is.
const LOOKED_AT: usize = 256;

/// The samples of a local shard, as references into its file.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] where it is damaged or truncated.
pub(super) fn read_local(shard: &Arc<Shard>, give: &mut Give<'_>) -> Result<()> {
    let Place::Local(path) = &shard.place else {
        return Err(shard.error("is not a local file"));
    };
    let io = |error| Error::io(path, error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut archive = Archive::new(file);
    let entries = archive.entries_with_seek().map_err(io)?.raw(true);
    members(shard, entries, Some(length), give)
}

/// The samples of a shard that is read from its first byte to its last, with their bytes.
///
/// # Errors
/// [`Error::Data`] where it is damaged or truncated, or cannot be read.
pub(super) fn read_stream(shard: &Arc<Shard>, bytes: impl Read, give: &mut Give<'_>) -> Result<()> {
    let mut archive = Archive::new(bytes);
    let entries = archive.entries().map_err(|error| damaged(shard, &error))?.raw(true);
    members(shard, entries, None, give)
}

/// Whether a tar file holds samples: files that describe an image beside it, under its name.
pub(super) fn has_samples(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut archive = Archive::new(file);
    let Ok(entries) = archive.entries_with_seek() else { return false };
    let names = entries.raw(true).take(LOOKED_AT).flatten();
    let (mut images, mut descriptions) = (Vec::new(), Vec::new());
    for entry in names.filter(|entry| entry.header().entry_type().is_file()) {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (key, ending) = parts(&name);
        if is_image(&name) {
            images.push(key.to_owned());
        } else if ["cls", "json", "txt"].contains(&ending.to_ascii_lowercase().as_str()) {
            descriptions.push(key.to_owned());
        }
    }
    descriptions.iter().any(|key| images.contains(key))
}

fn damaged(shard: &Shard, error: &io::Error) -> Error {
    // What a server said stands for itself.
    if error.get_ref().is_some_and(|inner| inner.is::<Failed>()) {
        return shard.error(error.to_string());
    }
    // A message may quote bytes of the file.
    let said: String =
        error.to_string().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    shard.error(format!("the tar file is damaged or truncated ({said}); get it again"))
}

/// Key and ending of a member's name: `a/b.c.seg.png` is `a/b` and `c.seg.png`.
fn parts(name: &str) -> (&str, &str) {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[file..].find('.') {
        Some(dot) => (&name[..file + dot], &name[file + dot + 1..]),
        None => (name, ""),
    }
}

/// A sample whose members are still being read.
#[derive(Default)]
struct Group {
    key: String,
    image: Option<(String, Content)>,
    label: Option<String>,
    /// Images after the first.
    further: usize,
}

/// Goes through all members; `file` is the length of the file where samples refer to it.
fn members<R: Read>(
    shard: &Arc<Shard>,
    entries: Entries<'_, R>,
    file: Option<u64>,
    give: &mut Give<'_>,
) -> Result<()> {
    let mut group = Group::default();
    let mut long_name = None;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(shard, &error))?;
        let cut = |name: &str| shard.error(format!("ends in the middle of {name}; get it again"));
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let name = text(&mut entry).map_err(|error| damaged(shard, &error))?;
                long_name = Some(lossy(name.strip_suffix(b"\0").unwrap_or(&name)));
                continue;
            }
            EntryType::XHeader => {
                let pax = text(&mut entry).map_err(|error| damaged(shard, &error))?;
                let paths = PaxExtensions::new(&pax).flatten();
                let path = paths.filter(|field| field.key_bytes() == b"path").last();
                long_name = path.map(|path| lossy(path.value_bytes())).or(long_name);
                continue;
            }
            EntryType::Regular | EntryType::Continuous => {}
            // They stand between a long name and its member.
            EntryType::XGlobalHeader | EntryType::GNULongLink => continue,
            _ => {
                long_name = None;
                continue;
            }
        }
        let name = long_name.take().unwrap_or_else(|| lossy(&entry.path_bytes()));
        let name = name.strip_prefix("./").unwrap_or(&name);
        let (offset, length) = (entry.raw_file_position(), entry.size());
        // With the bytes that fill its last block.
        let end = offset.saturating_add(length).checked_next_multiple_of(BLOCK);
        if file.is_some_and(|file| end.is_none_or(|end| end > file)) {
            return Err(cut(name));
        }
        let (key, ending) = parts(name);
        if key != group.key {
            let done = std::mem::replace(&mut group, Group { key: key.into(), ..Group::default() });
            if !done.finish(shard, give) {
                return Ok(());
            }
        }
        if is_image(name) {
            if group.image.is_some() {
                group.further += 1;
                continue;
            }
            let content = match file {
                _ if length > MAX_FILE => Content::Refused(format!("has {length} bytes")),
                Some(_) => Content::Span { offset, length },
                None => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).map_err(|error| damaged(shard, &error))?;
                    if (bytes.len() as u64) < length {
                        return Err(cut(name));
                    }
                    Content::Bytes(bytes)
                }
            };
            group.image = Some((name.to_owned(), content));
        } else if ending.eq_ignore_ascii_case("cls") {
            let label = text(&mut entry).map_err(|error| damaged(shard, &error))?;
            let label = lossy(&label);
            group.label = Some(label.trim().to_owned()).filter(|label| !label.is_empty());
        } else if ending.eq_ignore_ascii_case("json") && group.label.is_none() {
            let json = text(&mut entry).map_err(|error| damaged(shard, &error))?;
            group.label = serde_json::from_slice(&json).ok().and_then(|json| labelled(&json));
        }
    }
    group.finish(shard, give);
    Ok(())
}

impl Group {
    /// Gives the sample, where it has an image; false where no more are wanted.
    fn finish(self, shard: &Arc<Shard>, give: &mut Give<'_>) -> bool {
        let Some((name, content)) = self.image else { return true };
        let Self { label, further, .. } = self;
        give(Sample { shard: Arc::clone(shard), name, label, content, further })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The start of a member, at most [`MAX_TEXT`] bytes.
fn text<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The label that a sample's JSON file states.
fn labelled(json: &Value) -> Option<String> {
    match LABELS.iter().find_map(|key| json.get(key))? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(name) => Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
        _ => None,
    }
}
