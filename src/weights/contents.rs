use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry as Slot};

use super::entry::{Element, Entry};

/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 512;

/// Tensors of state dictionaries that are no weights, by the last part of the name:
/// counters, sizes and index tables, of integer types.
const BOOKKEEPING: [&str; 7] = [
    "position_ids",
    "relative_position_index",
    "num_batches_tracked",
    "input_resolution",
    "context_length",
    "vocab_size",
    "bias_mask",
];

/// Whether a tensor with this name and an integer type is not a weight.
pub(super) fn has_bookkeeping_name(name: &str) -> bool {
    BOOKKEEPING.contains(&name.rsplit('.').next().unwrap_or(name))
}

/// The content of a file of weights.
#[derive(Debug, Default, Clone)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, Entry>,
    pub(super) metadata: HashMap<String, String>,
    /// Names of tensors that are no weights, see [`Contents::passes_over`].
    pub(super) bookkeeping: Vec<String>,
}

impl Contents {
    /// Whether a tensor is not a weight and is skipped; records its name.
    pub(super) fn passes_over(&mut self, name: &str, element: Element) -> bool {
        let passed = matches!(element, Element::Other(..)) && has_bookkeeping_name(name);
        if passed {
            self.bookkeeping.push(name.to_owned());
        }
        passed
    }

    /// Adds a tensor; the error is the reason why its name cannot be taken.
    pub(super) fn add(&mut self, name: String, entry: Entry) -> Result<(), String> {
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err("a tensor's name is not one".into());
        }
        match self.tensors.entry(name) {
            Slot::Occupied(slot) => Err(format!("two tensors are named {}", slot.key())),
            Slot::Vacant(slot) => {
                slot.insert(entry);
                Ok(())
            }
        }
    }

    /// The tensors whose names begin with `prefix`, under the rest of their names; the
    /// metadata stays.
    pub(super) fn under(&self, prefix: &str) -> Self {
        let own = |name: &str| name.strip_prefix(prefix).map(str::to_owned);
        let tensors = self.tensors.range(prefix.to_owned()..);
        let tensors = tensors.map_while(|(name, entry)| Some((own(name)?, entry.clone())));
        Self {
            tensors: tensors.collect(),
            metadata: self.metadata.clone(),
            bookkeeping: self.bookkeeping.iter().filter_map(|name| own(name)).collect(),
        }
    }
}
