use std::collections::BTreeSet;

use super::Ranks;
use crate::data::Loader;
use crate::error::Result;

/// One tally of unreadable images over the ranks, each of which reads other ones.
#[derive(Debug, Default)]
pub(in crate::train) struct Merged {
    /// What the other ranks know of this one.
    told: BTreeSet<u64>,
}

impl Merged {
    /// Tells the other ranks of images that `loader` found unreadable, and it of theirs; `read`
    /// images were tried so far.
    ///
    /// # Errors
    /// [`Error::Unreadable`](crate::Error::Unreadable) where those of all ranks are too many.
    pub(in crate::train) fn exchange(
        &mut self,
        ranks: &Ranks,
        loader: &Loader,
        read: usize,
    ) -> Result<()> {
        if !ranks.several() {
            return Ok(());
        }
        let tally = loader.tally();
        let new: Vec<_> = tally.reasons(|image| self.told.insert(image));
        let own =
            if new.is_empty() { Vec::new() } else { serde_json::to_vec(&new).unwrap_or_default() };
        for (rank, message) in ranks.gather(&own)?.iter().enumerate() {
            let theirs: Vec<(u64, String)> = serde_json::from_slice(message).unwrap_or_default();
            for (image, reason) in theirs {
                self.told.insert(image);
                tally.note_told(image, rank, reason, read)?;
            }
        }
        Ok(())
    }
}
