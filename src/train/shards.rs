use std::ops::Range;
use std::sync::{Barrier, Mutex};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{Task, TaskLoss};
use crate::error::{Error, Result};

/// Splits batches over CPU threads.
///
/// The CPU backend runs most operations on one thread; a thread for each part of
/// the batch keeps every core busy through the whole step. Each part computes
/// on its own thread alone, so results depend on the number of parts but not on
/// timing. On a GPU one part is right.
pub struct Shards {
    pools: Vec<ThreadPool>,
}

/// One part of a batch as a [`Task`] sees it.
pub struct Part<'a> {
    /// The part's share of the batch's images, 0 to 1.
    pub fraction: f64,
    /// The batch's number, from 0.
    pub step: usize,
    /// Where in the batch the part's images begin.
    pub first: usize,
    board: Option<&'a Board>,
}

/// Where parts meet to add up a number.
struct Board {
    barrier: Barrier,
    sum: Mutex<f64>,
}

impl Part<'_> {
    /// A batch in one part.
    pub fn whole() -> Self {
        Self { fraction: 1.0, step: 0, first: 0, board: None }
    }

    /// Batch `step` in one part whose images begin at place `first`.
    pub fn at(step: usize, first: usize) -> Self {
        Self { step, first, ..Self::whole() }
    }

    /// The sum of a value, `[1]`, over all parts. Every part must call this
    /// equally often.
    pub fn total(&self, value: Tensor<1>) -> Tensor<1> {
        let Some(board) = self.board else {
            return value;
        };
        let lock = || board.sum.lock().unwrap_or_else(|poison| poison.into_inner());
        let device = value.device();
        let mine: f32 = value.inner().into_scalar();
        *lock() += f64::from(mine);
        board.barrier.wait();
        let sum = *lock();
        if board.barrier.wait().is_leader() {
            *lock() = 0.0;
        }
        board.barrier.wait();
        Tensor::from_data([sum as f32], &device)
    }
}

impl Shards {
    /// `parts` threads for a CPU device; one part, without a thread, else.
    ///
    /// # Errors
    /// [`Error::Config`] where the threads cannot be started.
    pub fn new(parts: usize) -> Result<Self> {
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .map_err(|error| Error::config(format!("cannot start a thread: {error}")))
        };
        let parts = if parts > 1 { parts } else { 0 };
        Ok(Self { pools: (0..parts).map(pool).collect::<Result<_>>()? })
    }

    /// Calls `work` with each part of `count` items of batch `step`, at the same
    /// time.
    pub fn map<R: Send>(
        &self,
        count: usize,
        step: usize,
        work: impl Fn(Range<usize>, Part<'_>) -> R + Sync,
    ) -> Vec<R> {
        let parts = self.pools.len().min(count);
        if parts < 2 {
            return vec![work(0..count, Part::at(step, 0))];
        }
        let board = Board { barrier: Barrier::new(parts), sum: Mutex::new(0.0) };
        let bounds = |part: usize| part * count / parts..(part + 1) * count / parts;
        let (work, board) = (&work, &board);
        std::thread::scope(|scope| {
            let threads: Vec<_> = self.pools[..parts]
                .iter()
                .enumerate()
                .map(|(index, pool)| {
                    scope.spawn(move || {
                        let range = bounds(index);
                        let fraction = range.len() as f64 / count as f64;
                        let first = range.start;
                        let part = Part { fraction, step, first, board: Some(board) };
                        pool.install(|| work(range, part))
                    })
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, R>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// Loss and gradients of batch `step`: `images` is `[B, 3, H, W]`.
    pub fn backward<T: Task + Sync>(
        &self,
        task: &T,
        model: &T::Model,
        device: &Device,
        images: &Tensor<4>,
        labels: &[usize],
        step: usize,
    ) -> (TaskLoss, GradientsParams)
    where
        T::Model: Sync,
    {
        let several = self.pools.len() > 1;
        let results = self.map(labels.len(), step, |range, part| {
            // A copy of its own keeps the parts' graphs apart; memory is shared.
            let model = if several { model.clone().fork(device) } else { model.clone() };
            let images = images.clone().narrow(0, range.start, range.len());
            let loss = task.loss(&model, images, &labels[range], &part);
            let grads = GradientsParams::from_grads(loss.total.backward(), &model);
            (loss.detached(), grads)
        });
        let sum = |(loss, grads): (TaskLoss, GradientsParams), (other, more)| {
            let mut adder = Add { into: grads, from: more };
            model.visit(&mut adder);
            (loss.plus(other), adder.into)
        };
        let mut results = results.into_iter();
        let first = results.next().expect("a batch has at least one part");
        results.fold(first, sum)
    }
}

struct Add {
    into: GradientsParams,
    from: GradientsParams,
}

impl ModuleVisitor for Add {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = match (self.into.remove::<D>(param.id), self.from.remove::<D>(param.id)) {
            (Some(a), Some(b)) => a + b,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return,
        };
        self.into.register(param.id, sum);
    }
}
