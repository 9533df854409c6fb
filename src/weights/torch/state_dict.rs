use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::value::{Id, Pickle, Storage, Value};
use crate::weights::contents::Contents;
use crate::weights::entry::{Entry, Layout};

/// Where checkpoints keep a model's tensors, the first that is there.
const KEYS: [&str; 5] = ["state_dict", "model", "teacher", "student", "model_state_dict"];

/// Dictionaries that a state dictionary lies in, at most.
const MAX_DEPTH: usize = 3;

/// The tensors of the pickle's state dictionary: its root, or what lies there
/// under one of [`KEYS`]. `place` tells where a storage's bytes are.
pub(super) fn contents(
    map: &Arc<Mmap>,
    pickle: &Pickle<'_>,
    place: impl Fn(&Storage<'_>) -> Option<Range<usize>>,
) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for (name, value) in state_dict(pickle)? {
        let (&Value::Text(name), Value::Tensor(tensor)) = (pickle.get(name), pickle.get(value))
        else {
            continue;
        };
        let storage = &tensor.storage;
        if contents.passes_over(name, storage.element) {
            continue;
        }
        let bytes = place(storage)
            .filter(|bytes| storage.len.checked_mul(storage.element.size()) == Some(bytes.len()))
            .ok_or_else(|| format!("{name} has no storage of {} elements", storage.len))?;
        let layout = Layout {
            shape: tensor.shape.clone(),
            strides: Some(tensor.strides.clone()),
            offset: tensor.offset,
        };
        let entry = Entry::new(map, bytes, storage.element, layout)
            .map_err(|reason| format!("{name} {reason}"))?;
        contents.add(name.to_owned(), entry)?;
    }
    Ok(contents)
}

fn state_dict<'p>(pickle: &'p Pickle<'_>) -> Result<impl Iterator<Item = (Id, Id)> + 'p, String> {
    let mut at = pickle.root;
    for _ in 0..=MAX_DEPTH {
        let Value::Dict(items) = pickle.get(at) else {
            break;
        };
        if items.iter().any(|&(_, value)| matches!(pickle.get(value), Value::Tensor(_))) {
            return Ok(items.iter().copied());
        }
        let under = |wanted: &&str| {
            items.iter().find_map(|&(key, value)| match (pickle.get(key), pickle.get(value)) {
                (Value::Text(key), Value::Dict(_)) if key == wanted => Some(value),
                _ => None,
            })
        };
        match KEYS.iter().find_map(under) {
            Some(inner) => at = inner,
            None => break,
        }
    }
    Err(format!("it holds no dictionary of tensors, at its top or under {}", KEYS.join(", ")))
}
