use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::{Component, Path};

use serde::Deserialize;

use super::contents::Contents;
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

/// Gathers the tensors that the index `bytes`, a file at `path`, names in the
/// files beside it.
pub(super) fn contents(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let fault = |reason: String| file::fault(path, &reason);
    if bytes.len() > MAX_INDEX {
        return Err(fault(format!("as a shard index it is longer than {MAX_INDEX} bytes")));
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| fault(format!("as a shard index: {error}")))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<String, Contents> = BTreeMap::new();
    let mut all = Contents::default();
    for (name, shard) in index.weight_map {
        // Nothing outside the index's own folder is opened.
        let mut parts = Path::new(&shard).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(fault(format!(
                "it names the shard {shard}, which is not a plain file name"
            )));
        }
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
        let entry = held
            .tensors
            .remove(&name)
            .ok_or_else(|| fault(format!("it names {name}, which is not in its shard")))?;
        all.add(name, entry).map_err(fault)?;
    }
    match shards.iter().find_map(|(shard, held)| Some((shard, held.tensors.keys().next()?))) {
        Some((shard, name)) => Err(fault(format!("{shard} holds {name}, which it does not name"))),
        None => Ok(all),
    }
}
