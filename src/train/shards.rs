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
///
/// To save memory, each shard can go through its images in micro-batches, one after the
/// other ([`accumulate`](Self::accumulate)): only one micro-batch's activations are held
/// at a time, and the gradients are those of the whole batch.
#[derive(Debug)]
pub struct Shards {
    pools: Vec<ThreadPool>,
    /// Micro-batches of each shard.
    micro_batches: usize,
    recompute: bool,
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
    /// Whether a transformer is to keep its blocks' inputs alone and compute the rest anew
    /// on the way back ([`Vit::intermediate_recomputed`](crate::vit::Vit::intermediate_recomputed)).
    pub recompute: bool,
}

impl Shards {
    /// The whole batch in one shard, on the calling thread.
    pub fn one() -> Self {
        Self { pools: Vec::new(), micro_batches: 1, recompute: false }
    }

    /// `count` threads for a CPU device; one shard on the calling thread for 0 and 1.
    ///
    /// # Errors
    /// [`Error::Thread`] where the threads cannot be started.
    pub fn new(count: usize) -> Result<Self> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        let count = if count > 1 { count } else { 0 };
        let pools = (0..count).map(pool).collect::<Result<_, _>>();
        let pools = pools.map_err(|error| Error::Thread(error.to_string()))?;
        Ok(Self { pools, micro_batches: 1, recompute: false })
    }

    /// The same, with each shard's images in `count` micro-batches; 1 is the whole shard at
    /// once. The gradients are the same to rounding, whatever the loss: where a term divides
    /// by a count that only the batch tells, [`Task::counts`] is asked first.
    #[must_use]
    pub fn accumulate(self, count: usize) -> Self {
        Self { micro_batches: count.max(1), ..self }
    }

    /// The same, with activations computed anew in the backward pass instead of being kept
    /// ([`Shard::recompute`]): a third more work, and the same gradients to rounding.
    #[must_use]
    pub fn recompute(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// Calls `work` with the range of each shard of `count` items, at the same time; the
    /// results come in the shards' order. A panic in one of them is passed on when all
    /// have ended.
    pub fn map<R: Send>(&self, count: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
        self.each(split(0..count, self.pools.len()), work)
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
        self.backward_scaled(task, model, device, images, labels, step, 1.0)
    }

    /// As [`backward`](Self::backward), with the gradients of `scale` times the loss.
    #[expect(clippy::too_many_arguments, reason = "those of `backward` and the scale")]
    pub(super) fn backward_scaled<T: Task>(
        &self,
        task: &T,
        model: &T::Model,
        device: &Device,
        images: &Tensor<4>,
        labels: &[usize],
        step: usize,
        scale: f32,
    ) -> (BatchLoss, GradientsParams) {
        let several = self.pools.len() > 1;
        // A copy of its own keeps the shards' graphs apart; memory is shared.
        let copy = || if several { model.clone().fork(device) } else { model.clone() };
        let part = |range: &Range<usize>| {
            let images = images.clone().narrow(0, range.start, range.len());
            let (first, recompute) = (range.start, self.recompute);
            Shard { images, labels: &labels[range.clone()], step, first, recompute }
        };
        let share = |range: &Range<usize>| range.len() as f64 / labels.len() as f64;
        let backward = |model: &T::Model, mut loss: Loss, share: f64, counts: &[Tensor<1>]| {
            let recompute = loss.recompute.take();
            let (total, terms) = reduce::contribution(loss, share, counts);
            let total = if scale == 1.0 { total } else { total * scale };
            let mut grads = total.backward();
            let further = recompute.map(|recompute| recompute.backward(&mut grads));
            let grads = GradientsParams::from_grads(grads, model);
            let grads = match further {
                Some(further) => reduce::add_gradients(model, grads, further),
                None => grads,
            };
            (terms, grads)
        };
        let add = |sum, more| reduce::add(model, sum, more);

        let parts = if self.micro_batches == 1 {
            let forward = |range: Range<usize>| {
                let model = copy();
                let loss = task.loss(&model, part(&range));
                (model, share(&range), loss)
            };
            let shards = self.map(labels.len(), forward);
            let counts = reduce::batch_counts(shards.iter().map(|(.., loss)| loss.counts()));
            self.each(shards, |(model, share, loss)| backward(&model, loss, share, &counts))
        } else {
            let pieces = |range: Range<usize>| split(range, self.micro_batches);
            let counts = self.map(labels.len(), |range| {
                let model = copy();
                let pieces = pieces(range).into_iter();
                reduce::batch_counts(pieces.map(|piece| task.counts(&model, part(&piece))))
            });
            let counts = reduce::batch_counts(counts);
            self.map(labels.len(), |range| {
                let model = copy();
                let pieces = pieces(range).into_iter().map(|piece| {
                    let loss = task.loss(&model, part(&piece));
                    backward(&model, loss, share(&piece), &counts)
                });
                pieces.reduce(add).expect("a shard has at least one image")
            })
        };
        parts.into_iter().reduce(add).expect("a batch has at least one image")
    }
}

/// A range in at most `count` parts of sizes that differ by one at most; at least one part.
fn split(range: Range<usize>, count: usize) -> Vec<Range<usize>> {
    let parts = count.min(range.len()).max(1);
    let bound = |part: usize| range.start + part * range.len() / parts;
    (0..parts).map(|part| bound(part)..bound(part + 1)).collect()
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
