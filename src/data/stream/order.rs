//! The order of samples: shards in a new order for each epoch, some of them open at once and
//! taken in turns, then a buffer that mixes.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::ImageStream;
use super::queue::Reading;
use super::sample::Sample;
use super::shard::Shard;
use crate::data::loader::sample_rng;
use crate::error::{Error, Result};

/// Shards that are open at once.
const OPEN: usize = 4;
/// Samples that the buffer mixes.
const BUFFER: usize = 1000;
/// Bytes of encoded images that it holds at most. References count as what they refer to, so
/// that the order is the same wherever the shards are.
const BUFFER_BYTES: u64 = 256 << 20;

/// Samples of shards that are open at once, one of each in turns.
pub(super) struct Turns {
    waiting: VecDeque<(usize, Arc<Shard>)>,
    open: Vec<Open>,
    /// Opened ahead, so that its first bytes are here when a shard ends.
    next: Option<Open>,
    at: usize,
    width: usize,
    /// Which samples of each shard are taken.
    share: Share,
    stream: ImageStream,
}

struct Open {
    shard: usize,
    samples: Reading,
    taken: usize,
}

/// A part of each shard's samples: every `of`-th.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: usize,
    of: usize,
}

impl Turns {
    /// All samples of `shards`, `width` of them open at once.
    pub(super) fn new(stream: &ImageStream, shards: Vec<usize>, width: usize) -> Self {
        let (part, of) = stream.part;
        let (mine, share): (Vec<usize>, Share) = match shards.len() >= of {
            true => {
                let mine = shards.into_iter().skip(part).step_by(of);
                (mine.collect(), Share { part: 0, of: 1 })
            }
            false => (shards, Share { part, of }),
        };
        let waiting = mine.into_iter().map(|shard| (shard, Arc::clone(&stream.shards[shard])));
        let waiting = waiting.collect();
        Self { waiting, open: Vec::new(), next: None, at: 0, width, share, stream: stream.clone() }
    }

    fn open(&mut self) -> Option<Open> {
        let (shard, file) = self.waiting.pop_front()?;
        Some(Open { shard, samples: Reading::start(file, self.stream.client.clone()), taken: 0 })
    }

    /// The next shard, and the one after it opened ahead.
    fn take_next(&mut self) -> Option<Open> {
        let next = self.next.take().or_else(|| self.open())?;
        self.next = self.open();
        Some(next)
    }
}

impl Iterator for Turns {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.open.len() < self.width
                && let Some(open) = self.take_next()
            {
                self.open.push(open);
            }
            let count = self.open.len();
            let place = self.at.checked_rem(count)?;
            let open = &mut self.open[place];
            match open.samples.next() {
                Some(Ok(sample)) => {
                    let mine = (open.taken + open.shard) % self.share.of == self.share.part;
                    open.taken += 1;
                    if mine {
                        self.at = place + 1;
                        return Some(Ok(sample));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => match self.take_next() {
                    Some(next) => self.open[place] = next,
                    None => drop(self.open.remove(place)),
                },
            }
        }
    }
}

/// The samples of a stream in the order of its seed: sample `n` depends on nothing but the
/// seed and `n`. It ends only where the order is that of the shards.
pub(in crate::data) struct Sequence {
    stream: ImageStream,
    /// The seed; none for the shards' own order, once.
    seed: Option<u64>,
    epoch: usize,
    turns: Turns,
    rng: ChaCha8Rng,
    buffer: Vec<Sample>,
    /// Bytes that the buffer stands for.
    bytes: u64,
    /// Samples given in this epoch.
    given: usize,
    /// Epochs before this one without a sample.
    barren: usize,
    failed: bool,
}

impl Sequence {
    /// A sequence that begins at most `first` samples from the start, and how many to pass over
    /// to come to sample `first`: epochs of known length need no reading.
    pub(in crate::data) fn near(
        stream: ImageStream,
        seed: Option<u64>,
        first: usize,
    ) -> (Self, usize) {
        let (mut epoch, mut left) = (0, first);
        if seed.is_some() {
            while let Some(length) = stream.epoch_length(seed, epoch).filter(|&all| all > 0)
                && left >= length
            {
                left -= length;
                epoch += 1;
            }
        }
        (Self::from_epoch(stream, seed, epoch), left)
    }

    fn from_epoch(stream: ImageStream, seed: Option<u64>, epoch: usize) -> Self {
        let turns = Turns::new(&stream, stream.shard_order(seed, epoch), width(seed));
        let rng = sample_rng(seed.unwrap_or(0), epoch, usize::MAX - 1);
        Self {
            stream,
            seed,
            epoch,
            turns,
            rng,
            buffer: Vec::new(),
            bytes: 0,
            given: 0,
            barren: 0,
            failed: false,
        }
    }

    fn fill(&mut self) -> Result<()> {
        let most = if self.seed.is_some() { BUFFER } else { 1 };
        while self.buffer.len() < most && self.bytes < BUFFER_BYTES {
            let Some(sample) = self.turns.next() else { break };
            let sample = sample?;
            self.bytes += sample.length();
            self.buffer.push(sample);
        }
        Ok(())
    }
}

/// Shards that are open at once.
fn width(seed: Option<u64>) -> usize {
    if seed.is_some() { OPEN } else { 1 }
}

impl Iterator for Sequence {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            if let Err(error) = self.fill() {
                self.failed = true;
                return Some(Err(error));
            }
            if !self.buffer.is_empty() {
                let place = self.rng.random_range(0..self.buffer.len());
                let sample = self.buffer.swap_remove(place);
                self.bytes -= sample.length();
                self.given += 1;
                return Some(Ok(sample));
            }
            self.seed?;
            let barren = if self.given == 0 { self.barren + 1 } else { 0 };
            // The shards of a part may be empty in one epoch and not in the next.
            if barren > self.stream.part.1 {
                self.failed = true;
                return Some(Err(Error::NoImages));
            }
            let next = Self::from_epoch(self.stream.clone(), self.seed, self.epoch + 1);
            *self = Self { barren, ..next };
        }
    }
}

impl ImageStream {
    /// The shards of an epoch in their order.
    fn shard_order(&self, seed: Option<u64>, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.shards.len()).collect();
        if let Some(seed) = seed {
            order.shuffle(&mut sample_rng(seed, epoch, usize::MAX));
        }
        order
    }

    /// Samples of this part in an epoch, where it is known.
    fn epoch_length(&self, seed: Option<u64>, epoch: usize) -> Option<usize> {
        let counts = self.counts.as_ref()?;
        let (part, of) = self.part;
        if self.shards.len() >= of {
            let order = self.shard_order(seed, epoch);
            return Some(order.into_iter().skip(part).step_by(of).map(|shard| counts[shard]).sum());
        }
        // Sample `i` of a shard is of the part that `i` plus the shard's number gives.
        let taken = |(shard, &count): (usize, &usize)| {
            let first = (part + of - shard % of) % of;
            count.saturating_sub(first).div_ceil(of)
        };
        Some(counts.iter().enumerate().map(taken).sum())
    }
}
