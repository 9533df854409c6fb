use std::collections::BTreeMap;
#[cfg(feature = "hub")]
use std::collections::BTreeSet;
use std::collections::btree_map::Entry as Slot;
use std::path::{Component, Path};

use serde::Deserialize;

use super::contents::{Contents, has_bookkeeping_name};
use super::file;
use crate::error::Result;

/// Bytes of an index beyond which it is not read.
const MAX_INDEX: usize = 16 << 20;

/// More files than any model is split into.
const MAX_SHARDS: usize = 1024;

/// The index of a model in several files, as `transformers` writes it:
/// <https://huggingface.co/docs/transformers/big_models>.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that the index `bytes`, a file at `path`, names beside it, by tensor.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) where it is no index, or names
/// files elsewhere.
fn read(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let fault = |reason: String| file::fault(path, &reason);
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
/// [`Error::Io`](crate::Error::Io), or
/// [`Error::Checkpoint`](crate::Error::Checkpoint) where it is no index.
#[cfg(feature = "hub")]
pub(crate) fn shard_names(path: &Path) -> Result<Vec<String>> {
    let io = |error| crate::Error::io(path, error);
    if std::fs::metadata(path).map_err(io)?.len() > MAX_INDEX as u64 {
        return Err(file::fault(path, "it is too long for a shard index"));
    }
    let shards: BTreeSet<String> =
        read(path, &std::fs::read(path).map_err(io)?)?.into_values().collect();
    if shards.len() > MAX_SHARDS {
        return Err(file::fault(path, &format!("it names more than {MAX_SHARDS} shards")));
    }
    Ok(shards.into_iter().collect())
}

/// Gathers the tensors that the index `bytes`, a file at `path`, names in the
/// files beside it.
pub(super) fn contents(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let fault = |reason: String| file::fault(path, &reason);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<String, Contents> = BTreeMap::new();
    let mut all = Contents::default();
    for (name, shard) in read(path, bytes)? {
        let too_many = shards.len() >= MAX_SHARDS;
        let held = match shards.entry(shard) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(_) if too_many => {
                return Err(fault(format!("it names more than {MAX_SHARDS} shards")));
            }
            Slot::Vacant(slot) => {
                let held = file::single(&folder.join(slot.key()))?;
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
