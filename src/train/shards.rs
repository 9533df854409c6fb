use std::convert::Infallible;
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

/// What a process has of a batch, and what it is to do with it.
pub(super) struct BatchShare<'a> {
    /// `[B, 3, H, W]` on the plain device.
    pub(super) images: &'a Tensor<4>,
    /// `[B]`.
    pub(super) labels: &'a [usize],
    /// Images of the whole batch.
    pub(super) of: usize,
    /// This process among those that share the batch, and their number.
    pub(super) rank: (usize, usize),
    /// The batch's number, from 0.
    pub(super) step: usize,
    /// What the loss is multiplied by before it goes backward.
    pub(super) scale: f32,
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
        Self::on_own_threads(if count > 1 { count } else { 0 })
    }

    /// As [`new`](Self::new), with a thread of its own for a single shard too: nothing that it
    /// computes is then split further, so that it has the same bits as a shard among others.
    ///
    /// # Errors
    /// [`Error::Thread`] where the threads cannot be started.
    pub fn on_own_threads(count: usize) -> Result<Self> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
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

    /// Shards of a batch that has an image for each.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn count(&self) -> usize {
        self.pools.len().max(1)
    }

    /// The parts of each batch that so many such shards make, one after the other.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn in_turn(&self, parts: usize) -> Result<Self> {
        Ok(Self::on_own_threads(self.pools.len().min(1))?.accumulate(parts))
    }

    /// Calls `work` with the range of each shard of `count` items, at the same time; the
    /// results come in the shards' order. A panic in one of them is passed on when all
    /// have ended.
    pub fn map<R: Send>(&self, count: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
        self.each(split(0..count, self.pools.len()), work)
    }

    /// Calls `work` with each item on its shard's thread; at most one item a thread.
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        if self.pools.is_empty() {
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
        let (of, rank, scale) = (labels.len(), (0, 1), 1.0);
        let batch = BatchShare { images, labels, of, rank, step, scale };
        let Ok(sum) = self.backward_share(task, model, device, &batch, Ok::<_, Infallible>);
        sum
    }

    /// What a share of a batch adds to the loss and the gradients of the whole one. `whole` has
    /// the counts of this share and gives those of the batch.
    pub(super) fn backward_share<T: Task, E>(
        &self,
        task: &T,
        model: &T::Model,
        device: &Device,
        batch: &BatchShare<'_>,
        whole: impl FnOnce(Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, E>,
    ) -> Result<(BatchLoss, GradientsParams), E> {
        let several = self.pools.len() > 1;
        // A copy of its own keeps the shards' graphs apart; memory is shared.
        let copy = || if several { model.clone().fork(device) } else { model.clone() };
        let ranges = self.ranges(batch);
        let before = ranges.first().map_or(0, |range| range.start);
        let part = |range: &Range<usize>| {
            let own = range.start - before..range.end - before;
            let images = batch.images.clone().narrow(0, own.start, own.len());
            let labels = &batch.labels[own];
            let (step, first, recompute) = (batch.step, range.start, self.recompute);
            Shard { images, labels, step, first, recompute }
        };
        let share = |range: &Range<usize>| range.len() as f64 / batch.of as f64;
        let scale = batch.scale;
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
            let shards = self.each(ranges, forward);
            let counts = reduce::batch_counts(shards.iter().map(|(.., loss)| loss.counts()));
            let counts = whole(counts)?;
            self.each(shards, |(model, share, loss)| backward(&model, loss, share, &counts))
        } else {
            let pieces = |range: Range<usize>| split(range, self.micro_batches);
            let counts = self.each(ranges.clone(), |range| {
                let model = copy();
                let pieces = pieces(range).into_iter();
                reduce::batch_counts(pieces.map(|piece| task.counts(&model, part(&piece))))
            });
            let counts = whole(reduce::batch_counts(counts))?;
            self.each(ranges, |range| {
                let model = copy();
                let pieces = pieces(range).into_iter().map(|piece| {
                    let loss = task.loss(&model, part(&piece));
                    backward(&model, loss, share(&piece), &counts)
                });
                pieces.reduce(add).expect("a shard has at least one image")
            })
        };
        Ok(parts.into_iter().reduce(add).expect("a batch has at least one image"))
    }

    /// The places in the whole batch of what each thread computes.
    fn ranges(&self, batch: &BatchShare<'_>) -> Vec<Range<usize>> {
        let (rank, ranks) = batch.rank;
        let threads = self.pools.len().max(1);
        let all = split(0..batch.of, threads * ranks);
        all.into_iter().skip(rank * threads).take(threads).collect()
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
