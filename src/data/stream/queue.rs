//! Samples on their way from the thread that reads a shard, bounded by bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::remote::Client;
use super::sample::{Content, Sample};
use super::shard::Shard;
use crate::error::Result;

/// Bytes that a shard's thread reads ahead.
const MAX_BYTES: usize = 4 << 20;
/// Samples that it reads ahead, where they are references.
const MAX_SAMPLES: usize = 512;

/// A shard that is being read by a thread of its own.
pub(super) struct Reading {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    samples: VecDeque<Result<Sample>>,
    bytes: usize,
    /// No more samples come.
    ended: bool,
    /// No more samples are wanted.
    left: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Waits for room; false where nobody reads any more.
    fn push(&self, sample: Result<Sample>) -> bool {
        let size = sample.as_ref().map_or(0, held);
        let full = |state: &mut State| {
            let fits = state.bytes + size <= MAX_BYTES && state.samples.len() < MAX_SAMPLES;
            !state.left && !state.samples.is_empty() && !fits
        };
        let state = self.changed.wait_while(self.lock(), full);
        let mut state = state.unwrap_or_else(|poison| poison.into_inner());
        if state.left {
            return false;
        }
        state.bytes += size;
        state.samples.push_back(sample);
        drop(state);
        self.changed.notify_all();
        true
    }
}

/// Bytes that a sample itself holds.
fn held(sample: &Sample) -> usize {
    match &sample.content {
        Content::Bytes(bytes) => bytes.len(),
        Content::Span { .. } | Content::Refused(_) => 0,
    }
}

impl Reading {
    pub(super) fn start(shard: Arc<Shard>, client: Client) -> Self {
        let queue = Arc::new(Queue::default());
        let own = Arc::clone(&queue);
        // Not joined: one that waits for a server ends when that answers or its time is up.
        std::thread::spawn(move || {
            let read = || shard.read(&client, &mut |sample| own.push(Ok(sample)));
            if let Err(error) = shard.guarded(read) {
                own.push(Err(error));
            }
            own.lock().ended = true;
            own.changed.notify_all();
        });
        Self { queue }
    }
}

impl Iterator for Reading {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        let empty = |state: &mut State| state.samples.is_empty() && !state.ended;
        let state = self.queue.changed.wait_while(self.queue.lock(), empty);
        let mut state = state.unwrap_or_else(|poison| poison.into_inner());
        let sample = state.samples.pop_front()?;
        state.bytes -= sample.as_ref().map_or(0, held);
        drop(state);
        self.queue.changed.notify_all();
        Some(sample)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.queue.lock().left = true;
        self.queue.changed.notify_all();
    }
}
