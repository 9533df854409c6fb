use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry as Slot};

use super::entry::{Element, Entry};

/// Longer than any tensor's name.
const MAX_NAME: usize = 512;

/// What state dictionaries hold beside weights, by the last part of the name:
/// counters, sizes and index tables, of types that no weight has.
const BOOKKEEPING: [&str; 7] = [
    "position_ids",
    "relative_position_index",
    "num_batches_tracked",
    "input_resolution",
    "context_length",
    "vocab_size",
    "bias_mask",
];

/// Whether a tensor of this name is none of the weights, where it has a type
/// that no weight has.
pub(super) fn has_bookkeeping_name(name: &str) -> bool {
    BOOKKEEPING.contains(&name.rsplit('.').next().unwrap_or(name))
}

/// What a file of weights holds.
#[derive(Debug, Default, Clone)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, Entry>,
    pub(super) metadata: HashMap<String, String>,
    /// Names of what is there beside weights, see [`Contents::passes_over`].
    pub(super) bookkeeping: Vec<String>,
}

impl Contents {
    /// Whether a tensor is no weight and may be left unread; takes note of it.
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

    /// The same under the model's own names: without the `module.` of
    /// `DistributedDataParallel`, and of a file with tensors under `backbone.`
    /// (as DINO's, beside its projection head) only those.
    pub(super) fn under_own_names(self) -> Result<Self, String> {
        let bare = |name: &str| name.strip_prefix("module.").unwrap_or(name).to_owned();
        let wrapped = self.tensors.keys().any(|name| bare(name).starts_with("backbone."));
        let bookkeeping = self.bookkeeping.iter().map(|name| bare(name)).collect();
        let mut own = Self { metadata: self.metadata, bookkeeping, ..Self::default() };
        for (name, entry) in self.tensors {
            let name = bare(&name);
            if !wrapped {
                own.add(name, entry)?;
            } else if let Some(name) = name.strip_prefix("backbone.") {
                own.add(name.to_owned(), entry)?;
            }
        }
        Ok(own)
    }
}
