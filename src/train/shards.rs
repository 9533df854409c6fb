use std::ops::Range;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::reduce::{self, BatchLoss};
use super::{Loss, Task};
use crate::error::{Error, Result};

/// Splits batches over CPU threads.
///
/// The CPU backend runs most operations on one thread; a thread for each shard of the
/// batch keeps every core busy through the whole step. Each shard computes on its own
/// thread alone, so results depend on the number of shards but not on timing. On a GPU
/// one shard is right.
#[derive(Debug)]
pub struct Shards {
    pools: Vec<ThreadPool>,
}

/// A shard of a batch, as a [`Task`] sees it.
#[derive(Debug)]
pub struct Shard<'a> {
    /// `[B, 3, H, W]` on the plain device.
    pub images: Tensor<4>,
    /// The class of each image.
    pub labels: &'a [usize],
    /// The batch's number, from 0.
    pub step: usize,
    /// The place of the shard's first image in its batch. Randomness must follow from the
    /// run's seed, the step and an image's place, so that a resumed run goes on exactly and
    /// the number of shards does not matter.
    pub first: usize,
}

impl Shards {
    /// The whole batch in one shard, on the calling thread.
    pub fn one() -> Self {
        Self { pools: Vec::new() }
    }

    /// `count` threads for a CPU device; one shard on the calling thread for 0 and 1.
    ///
    /// # Errors
    /// [`Error::Thread`] where the threads cannot be started.
    pub fn new(count: usize) -> Result<Self> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        let count = if count > 1 { count } else { 0 };
        let pools = (0..count).map(pool).collect::<Result<_, _>>();
        Ok(Self { pools: pools.map_err(|error| Error::Thread(error.to_string()))? })
    }

    /// Calls `work` with the range of each shard of `count` items, at the same time; the
    /// results come in the shards' order. A panic in one of them is passed on when all
    /// have ended.
    pub fn map<R: Send>(&self, count: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
        let shards = self.pools.len().min(count).max(1);
        let bounds = |shard: usize| shard * count / shards..(shard + 1) * count / shards;
        self.each((0..shards).map(bounds).collect(), work)
    }

    /// Calls `work` with each item on its shard's thread; at most one item a thread.
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        if items.len() < 2 {
            return items.into_iter().map(work).collect();
        }
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = items
                .into_iter()
                .zip(&self.pools)
                .map(|(item, pool)| scope.spawn(move || pool.install(|| work(item))))
                .collect();
            let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            let result = |ended: std::thread::Result<R>| {
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            ended.into_iter().map(result).collect()
        })
    }

    /// Loss and gradients of batch `step`: `images` is `[B, 3, H, W]` on the plain device,
    /// `device` the training one.
    pub fn backward<T: Task>(
        &self,
        task: &T,
        model: &T::Model,
        device: &Device,
        images: &Tensor<4>,
        labels: &[usize],
        step: usize,
    ) -> (BatchLoss, GradientsParams) {
        let several = self.pools.len() > 1;
        let forward = |range: Range<usize>| {
            // A copy of its own keeps the shards' graphs apart; memory is shared.
            let model = if several { model.clone().fork(device) } else { model.clone() };
            let share = range.len() as f64 / labels.len() as f64;
            let first = range.start;
            let images = images.clone().narrow(0, range.start, range.len());
            let loss = task.loss(&model, Shard { images, labels: &labels[range], step, first });
            (model, share, loss)
        };
        let mut shards = Vec::new();
        let mut losses: Vec<Loss> = Vec::new();
        for (model, share, loss) in self.map(labels.len(), forward) {
            shards.push((model, share));
            losses.push(loss);
        }
        let counts = reduce::batch_counts(&losses, device);
        let items = shards.into_iter().zip(losses).collect();
        let parts = self.each(items, |((model, share), loss)| {
            let (total, terms) = reduce::contribution(loss, share, &counts);
            (terms, GradientsParams::from_grads(total.backward(), &model))
        });
        let sum = parts.into_iter().reduce(|sum, more| reduce::add(model, sum, more));
        sum.expect("a batch has at least one image")
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_shard_that_panics_ends_the_others_with_its_message() {
        let shards = Shards::new(3).unwrap();
        let work = |range: Range<usize>| assert!(range.start != 2, "the second shard");
        let ended = catch_unwind(AssertUnwindSafe(|| shards.map(6, work)));
        let message = *ended.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(message, "the second shard");
    }

    #[test]
    fn shards_cover_the_items_in_order_whatever_their_number() {
        for (shards, count) in [(1, 5), (2, 5), (3, 7), (8, 3)] {
            let ranges = Shards::new(shards).unwrap().map(count, |range| range);
            let covered: Vec<usize> = ranges.into_iter().flatten().collect();
            assert_eq!(covered, (0..count).collect::<Vec<_>>());
        }
    }
}
