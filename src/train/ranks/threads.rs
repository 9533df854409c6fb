use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Link, Ranks};
use crate::error::{Error, Result};

/// Runs `work` on `count` threads that are each other's ranks, the first on the calling thread,
/// and gives what that returns. `first` is work for the calling thread alone, `other` for each
/// of the others.
///
/// # Errors
/// Those of rank 0, which are [`Error::Rank`] where another rank failed first.
pub fn on_threads<R>(
    count: usize,
    first: impl FnOnce(Ranks) -> Result<R>,
    other: impl Fn(Ranks) -> Result<()> + Sync,
) -> Result<R> {
    let table = Arc::new(Table::new(count));
    let ranks = |rank| Ranks::new(Seat { rank, table: Arc::clone(&table) });
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for rank in 1..count {
            let (ranks, other, failed, table) = (&ranks, &other, &failed, &table);
            scope.spawn(move || {
                let leave = Leave(table);
                let outcome = ranks(rank).and_then(|ranks| {
                    let outcome = other(ranks.clone());
                    ranks.agree(outcome)
                });
                std::mem::forget(leave);
                if let Err(error @ Error::Rank { .. }) = outcome {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            });
        }
        let leave = Leave(&table);
        let outcome = ranks(0).and_then(|ranks| {
            let outcome = first(ranks.clone());
            ranks.agree(outcome)
        });
        std::mem::forget(leave);
        outcome
    })
    .map_err(|error| {
        match (error, failed.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Error::OtherRank { .. }, Some(told)) => told,
            (Error::Rank { error, rank: 0 }, _) => *error,
            (error, _) => error,
        }
    })
}

/// Where threads lay down what they have for each other.
#[derive(Debug)]
struct Table {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Of each rank in this round, until all are there.
    laid: Vec<Option<Arc<Vec<u8>>>>,
    /// Those of the last whole round.
    whole: Arc<Vec<Arc<Vec<u8>>>>,
    round: u64,
    /// Whether a rank is gone, as it panicked.
    broken: bool,
}

impl Table {
    fn new(count: usize) -> Self {
        let state =
            State { laid: vec![None; count], whole: Arc::default(), round: 0, broken: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, rank: usize, own: Vec<u8>) -> Result<Arc<Vec<Arc<Vec<u8>>>>> {
        let mut state = self.state();
        state.laid[rank] = Some(Arc::new(own));
        if state.laid.iter().all(Option::is_some) {
            state.whole = Arc::new(state.laid.iter_mut().filter_map(Option::take).collect());
            state.round += 1;
            self.changed.notify_all();
            return Ok(Arc::clone(&state.whole));
        }
        let round = state.round;
        while state.round == round && !state.broken {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.round == round {
            true => Err(Error::Link("one of them is gone".into())),
            false => Ok(Arc::clone(&state.whole)),
        }
    }
}

/// Tells the others where a thread panics.
struct Leave<'a>(&'a Table);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state().broken = true;
        self.0.changed.notify_all();
    }
}

/// A thread's place at the table.
#[derive(Debug)]
struct Seat {
    rank: usize,
    table: Arc<Table>,
}

impl Link for Seat {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.table.state().laid.len()
    }

    fn machine(&self) -> String {
        String::new()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<u8>> {
        let all = self.table.exchange(self.rank, own.to_vec())?;
        Ok(all.iter().flat_map(|message| message.iter().copied()).collect())
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let all = self.table.exchange(self.rank, bytemuck::cast_slice(values).to_vec())?;
        let mut vectors = all.iter().map(|bytes| floats(bytes));
        if let Some(first) = vectors.next() {
            values.iter_mut().zip(first).for_each(|(sum, value)| *sum = value);
        }
        for vector in vectors {
            values.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        let own = if self.rank == 0 { bytes.to_vec() } else { Vec::new() };
        let all = self.table.exchange(self.rank, own)?;
        bytes.copy_from_slice(&all[0]);
        Ok(())
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}
