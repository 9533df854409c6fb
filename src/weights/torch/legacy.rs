use std::collections::HashMap;
use std::sync::Arc;

use memmap2::Mmap;

use super::value::Value;
use super::{machine, state_dict};
use crate::weights::contents::Contents;

/// How the format of `torch.save` before 1.6 begins: the pickle of a number.
pub(in crate::weights) const MAGIC: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The tensors of a file of that format: pickles of the protocol, the machine,
/// the object and the storages' keys, then each storage's length and bytes. See
/// `_legacy_save` in
/// [torch/serialization.py](https://github.com/pytorch/pytorch/blob/main/torch/serialization.py).
pub(in crate::weights) fn contents(map: &Arc<Mmap>) -> Result<Contents, String> {
    let mut at = MAGIC.len();
    let mut next = || {
        let pickle = machine::read(map.get(at..).unwrap_or_default())?;
        at += pickle.len;
        Ok::<_, String>(pickle)
    };
    let (_protocol, _machine, object, keys) = (next()?, next()?, next()?, next()?);
    let sizes: HashMap<&str, usize> = object
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.element.size())),
            _ => None,
        })
        .collect();
    let Value::Items(order) = keys.get(keys.root) else {
        return Err("its list of storages is missing".into());
    };
    let mut places = HashMap::new();
    for &key in order {
        let &Value::Text(key) = keys.get(key) else {
            return Err("its list of storages holds something else".into());
        };
        let size = *sizes.get(key).ok_or_else(|| format!("no tensor uses its storage {key}"))?;
        let length = map.get(at..).and_then(|rest| rest.first_chunk::<8>());
        let end = length.and_then(|&length| {
            let bytes = usize::try_from(u64::from_le_bytes(length)).ok()?.checked_mul(size)?;
            (at + 8).checked_add(bytes).filter(|&end| end <= map.len())
        });
        let end = end.ok_or_else(|| format!("its storage {key} reaches past its end"))?;
        places.insert(key, at + 8..end);
        at = end;
    }
    state_dict::contents(map, &object, |storage| places.get(storage.key).cloned())
}
