//! Which format a file of weights has, by its content: safetensors, an index of several
//! such files, or what `torch.save` writes.

#[cfg(not(target_family = "wasm"))]
use std::collections::BTreeMap;
#[cfg(feature = "hub")]
use std::collections::BTreeSet;
#[cfg(not(target_family = "wasm"))]
use std::collections::btree_map::Entry as Slot;
use std::path::Path;
#[cfg(not(target_family = "wasm"))]
use std::path::{Component, PathBuf};
use std::sync::Arc;

#[cfg(not(target_family = "wasm"))]
use serde::Deserialize;

use super::contents::Contents;
#[cfg(not(target_family = "wasm"))]
use super::contents::has_bookkeeping_name;
use super::entry::Bytes;
#[cfg(not(target_family = "wasm"))]
use super::folder::{Unclear, choose, foreign};
use super::safetensors;
#[cfg(not(target_family = "wasm"))]
use super::torch;
use crate::error::{Error, Result};

/// Opens the file of weights at a path, or in the folder at it.
#[cfg(not(target_family = "wasm"))]
pub(super) fn open(path: &Path) -> Result<(PathBuf, Contents)> {
    let path = if path.is_dir() { file_in(path)? } else { path.to_owned() };
    let bytes = Arc::new(Bytes::map(&path)?);
    let contents = match kind(&bytes) {
        Ok(Kind::Index) => sharded(&path, &bytes)?,
        _ => read_single(&path, &bytes)?,
    };
    Ok((path, contents))
}

/// The file with the weights in a folder.
///
/// # Errors
/// [`Error::Io`]; [`Error::Checkpoint`] where there is none, or several may be it.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn file_in(folder: &Path) -> Result<PathBuf> {
    let io = |error| Error::io(folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            let end = if path.is_dir() { "/" } else { "" };
            names.push(format!("{name}{end}"));
        }
    }
    names.sort_unstable();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    choose(&names).map(|name| folder.join(name)).map_err(|unclear| match unclear {
        Unclear::Foreign(reason) => Error::naming(folder, reason),
        Unclear::Several(found) => {
            let found = found.join(", ");
            let reason = format!("each of {found} in it may be the weights: name the file");
            Error::naming(folder, &reason)
        }
        Unclear::Nothing => {
            Error::checkpoint(folder, "a folder without weights, such as model.safetensors")
        }
    })
}

/// Reads a safetensors file in memory; `name` is for messages.
pub(super) fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Contents> {
    let bytes = Arc::new(Bytes::Held(bytes));
    let contents = match kind(&bytes) {
        Ok(Kind::Safetensors) => safetensors::read(&bytes),
        Ok(Kind::Torch) => {
            Err("a file of torch.save is read from disk only: export it as safetensors".into())
        }
        Ok(Kind::Index) => Err("a shard index is read from disk only: merge its shards".into()),
        Err(reason) => Err(reason.into()),
    };
    contents.map_err(|reason| Error::checkpoint(name, &reason))
}

/// The tensors of one file that is not an index.
#[cfg(not(target_family = "wasm"))]
fn single(path: &Path) -> Result<Contents> {
    read_single(path, &Arc::new(Bytes::map(path)?))
}

#[cfg(not(target_family = "wasm"))]
fn read_single(path: &Path, bytes: &Arc<Bytes>) -> Result<Contents> {
    let contents = match kind(bytes) {
        Ok(Kind::Safetensors) => safetensors::read(bytes),
        Ok(Kind::Torch) => torch::contents(path, bytes.len() as u64),
        Ok(Kind::Index) => Err("it is a shard index where weights should be".into()),
        Err(reason) => Err(reason.into()),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    contents.map_err(|reason| match foreign(name) {
        Some(converter) => Error::naming(path, converter),
        None => Error::checkpoint(path, &reason),
    })
}

enum Kind {
    Safetensors,
    Torch,
    Index,
}

fn kind(bytes: &[u8]) -> Result<Kind, &'static str> {
    let starts = |with: &[u8]| bytes.starts_with(with);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let text = first == Some(&b'{');
    let header_fits = bytes
        .first_chunk::<8>()
        .is_some_and(|length| u64::from_le_bytes(*length) <= bytes.len() as u64);
    // The length that begins a safetensors file may itself look like text.
    if bytes.get(8) == Some(&b'{') && (header_fits || !text) {
        return Ok(Kind::Safetensors);
    }
    if text {
        return Ok(Kind::Index);
    }
    // The zip archive of `torch.save`, the pickle that it wrote before, and the
    // tar archive before that.
    if starts(b"PK\x03\x04") || starts(b"\x80") || bytes.get(257..262) == Some(b"ustar") {
        return Ok(Kind::Torch);
    }
    Err(match bytes {
        [] => "it is too short: it is empty",
        _ if starts(b"\x89PNG") || starts(b"\xff\xd8\xff") || starts(b"GIF8") => "it is an image",
        _ if first == Some(&b'<') => "it is a web page, perhaps of a failed download",
        _ if starts(b"version https://git-lfs") => {
            "it is a pointer of Git LFS: fetch the file itself with `git lfs pull`"
        }
        _ if bytes.len() < 9 => "it is too short",
        _ => "it is neither safetensors nor a file of torch.save",
    })
}

/// The most bytes of an index that is read.
#[cfg(not(target_family = "wasm"))]
const MAX_INDEX: usize = 16 << 20;

/// The most files of one model.
#[cfg(not(target_family = "wasm"))]
const MAX_SHARDS: usize = 1024;

/// The index of a model in several files, as `transformers` writes it:
/// <https://huggingface.co/docs/transformers/big_models>.
#[cfg(not(target_family = "wasm"))]
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that the index `bytes`, a file at `path`, names beside it, by tensor.
///
/// # Errors
/// [`Error::Checkpoint`] where it is no index, or names
/// files elsewhere.
#[cfg(not(target_family = "wasm"))]
fn read_index(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let fault = |reason: String| Error::checkpoint(path, &reason);
    if bytes.len() > MAX_INDEX {
        return Err(fault(format!("as a shard index it is longer than {MAX_INDEX} bytes")));
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| fault(format!("as a shard index: {error}")))?;
    for shard in index.weight_map.values() {
        // Nothing outside the index's own folder is opened.
        let mut parts = Path::new(shard).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(fault(format!(
                "it names the shard {shard}, which is not a plain file name"
            )));
        }
    }
    Ok(index.weight_map)
}

/// The names of the files that the index at `path` names beside it.
///
/// # Errors
/// [`Error::Io`], or
/// [`Error::Checkpoint`] where it is no index.
#[cfg(feature = "hub")]
pub(crate) fn shard_names(path: &Path) -> Result<Vec<String>> {
    let io = |error| Error::io(path, error);
    if std::fs::metadata(path).map_err(io)?.len() > MAX_INDEX as u64 {
        return Err(Error::checkpoint(path, "it is too long for a shard index"));
    }
    let shards: BTreeSet<String> =
        read_index(path, &std::fs::read(path).map_err(io)?)?.into_values().collect();
    if shards.len() > MAX_SHARDS {
        return Err(Error::checkpoint(path, &format!("it names more than {MAX_SHARDS} shards")));
    }
    Ok(shards.into_iter().collect())
}

/// Gathers the tensors that the index `bytes`, a file at `path`, names in the
/// files beside it.
#[cfg(not(target_family = "wasm"))]
fn sharded(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let fault = |reason: String| Error::checkpoint(path, &reason);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<String, Contents> = BTreeMap::new();
    let mut all = Contents::default();
    for (name, shard) in read_index(path, bytes)? {
        let too_many = shards.len() >= MAX_SHARDS;
        let held = match shards.entry(shard) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(_) if too_many => {
                return Err(fault(format!("it names more than {MAX_SHARDS} shards")));
            }
            Slot::Vacant(slot) => {
                let held = single(&folder.join(slot.key()))?;
                slot.insert(held)
            }
        };
        match held.tensors.remove(&name) {
            Some(entry) => all.add(name, entry).map_err(fault)?,
            None if has_bookkeeping_name(&name) => {}
            None => return Err(fault(format!("it names {name}, which is not in its shard"))),
        }
    }
    match shards.iter().find_map(|(shard, held)| Some((shard, held.tensors.keys().next()?))) {
        Some((shard, name)) => Err(fault(format!("{shard} holds {name}, which it does not name"))),
        None => Ok(all),
    }
}
