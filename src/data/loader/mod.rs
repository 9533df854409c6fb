//! Batches of images, decoded and augmented ahead by threads.

mod set;
mod stream;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::images::Images;
use super::pixels::Pixels;
use super::transform::{Normalise, Transform};
use super::unreadable::{PassedOver, Unreadable};
use crate::error::{Error, Result};

/// The order in which a loader reads images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// A new permutation for each epoch; of a set an incomplete last batch is dropped, of a
    /// stream the next epoch fills it.
    Shuffled,
    /// Once, from first to last; the last batch may be short, and of a set one without some
    /// unreadable images.
    Sequential,
}

/// Settings of a [`Loader`].
#[derive(Debug, Clone, Copy)]
pub struct LoaderSettings {
    /// Batch size.
    pub batch: usize,
    /// Seed of the order and of the augmentation.
    pub seed: u64,
    /// Worker threads, which decode and augment.
    pub workers: usize,
    /// Order of the images.
    pub order: Order,
    /// The share of unreadable images, 0 to 1, above which loading fails.
    pub max_unreadable: f64,
    /// Which part of each batch to load, from 0, and of how many: those of all are the batch.
    pub part: (usize, usize),
}

impl LoaderSettings {
    /// The places of this part in a batch of `images`.
    fn places(&self, images: usize) -> Range<usize> {
        let (part, of) = self.part;
        part * images / of..(part + 1) * images / of
    }
}

impl Default for LoaderSettings {
    /// Shuffled batches of 64 from seed 0, by at most eight threads; one unreadable image in
    /// a hundred is passed over.
    fn default() -> Self {
        Self {
            batch: 64,
            seed: 0,
            workers: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            order: Order::Shuffled,
            max_unreadable: 0.01,
            part: (0, 1),
        }
    }
}

/// A batch of images, ready for the model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Batch {
    /// The images.
    pub pixels: Pixels,
    /// Class of each image; 0 where the set has no labels.
    pub labels: Vec<usize>,
}

/// Batches of images, decoded and augmented ahead by worker threads.
///
/// Batch `i` depends only on the seed and on `i`: a loader that starts at batch `i`
/// gives the same batches as one that started at 0.
pub struct Loader {
    lanes: Vec<Receiver<Result<Batch>>>,
    next: usize,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    unreadable: Arc<Unreadable>,
}

/// The most worker threads.
const MAX_WORKERS: usize = 1024;

/// Batches that a worker prepares ahead.
const AHEAD: usize = 2;

impl Loader {
    /// Starts the worker threads at batch `first`; they normalise the pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] where the images are fewer than one batch.
    pub fn start(
        images: impl Into<Images>,
        transform: Transform,
        normalise: Normalise,
        settings: LoaderSettings,
        first: usize,
    ) -> Result<Self> {
        let form = Form { transform, normalise, bytes: false };
        Self::start_as(images.into(), form, settings, first)
    }

    /// As [`start`](Self::start), with pixels as decoded, for a GPU to normalise
    /// ([`Pixels::Bytes`]).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_bytes(
        images: impl Into<Images>,
        transform: Transform,
        normalise: Normalise,
        settings: LoaderSettings,
        first: usize,
    ) -> Result<Self> {
        let form = Form { transform, normalise, bytes: true };
        Self::start_as(images.into(), form, settings, first)
    }

    fn start_as(
        images: Images,
        form: Form,
        settings: LoaderSettings,
        first: usize,
    ) -> Result<Self> {
        let short = |count| settings.order == Order::Shuffled && count < settings.batch;
        if settings.batch == 0 || images.len().is_some_and(short) {
            let most = images.len().map_or_else(String::new, |count| format!(", {count}"));
            let expected = format!("it must lie between 1 and the number of images{most}");
            return Err(Error::setting("batch", settings.batch, expected));
        }
        let (part, of) = settings.part;
        if part >= of {
            return Err(Error::setting("part", part, format!("it must be below {of}")));
        }
        if settings.workers > MAX_WORKERS {
            let expected = format!("at most {MAX_WORKERS} threads load images");
            return Err(Error::setting("workers", settings.workers, expected));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let unreadable = Arc::new(Unreadable::new(images.len(), settings.max_unreadable));
        let count = settings.workers.max(1);
        let mut lanes = Vec::with_capacity(count);
        let mut senders = Vec::with_capacity(count);
        for _ in 0..count {
            let (sender, receiver) = sync_channel(AHEAD);
            senders.push(sender);
            lanes.push(receiver);
        }
        let shared = Shared { form, settings, stop: stop.clone(), unreadable: unreadable.clone() };
        let workers = match images {
            Images::Set(set) => set::start(&set, &shared, senders, first),
            Images::Stream(stream) => stream::start(stream, &shared, senders, first),
        };
        Ok(Self { lanes, next: 0, stop, workers, unreadable })
    }

    /// Batches in an epoch of `images`.
    pub fn batches_per_epoch(images: usize, settings: &LoaderSettings) -> usize {
        match settings.order {
            Order::Shuffled => images / settings.batch,
            Order::Sequential => images.div_ceil(settings.batch),
        }
    }

    /// Number of distinct unreadable images so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.count()
    }

    /// The unreadable images so far; none where there are none.
    pub fn passed_over(&self) -> Option<PassedOver> {
        self.unreadable.passed_over()
    }

    /// The tally of unreadable images, which lives on after the loader.
    pub(crate) fn tally(&self) -> Arc<Unreadable> {
        Arc::clone(&self.unreadable)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    /// Endless for [`Order::Shuffled`]; one pass for [`Order::Sequential`].
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let lane = self.next % self.lanes.len();
            let batch = self.lanes[lane].recv().ok()?;
            self.next += 1;
            // None of its images is readable.
            if !batch.as_ref().is_ok_and(|batch| batch.labels.is_empty()) {
                return Some(batch);
            }
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.lanes.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has already closed its lane.
            let _ = worker.join();
        }
    }
}

/// What images become.
#[derive(Debug, Clone, Copy)]
struct Form {
    transform: Transform,
    normalise: Normalise,
    /// Whether pixels stay bytes.
    bytes: bool,
}

impl Form {
    fn empty(&self, count: usize) -> Batch {
        // At once: growing would copy a large batch several times, into new pages.
        let values = count * 3 * self.transform.size().iter().product::<usize>();
        let pixels = match self.bytes {
            true => Pixels::Bytes(Vec::with_capacity(values), self.normalise),
            false => Pixels::Normalised(Vec::with_capacity(values)),
        };
        Batch { pixels, labels: Vec::with_capacity(count) }
    }

    /// Appends a transformed image.
    fn append(&self, pixels: &RgbImage, label: usize, batch: &mut Batch) {
        match &mut batch.pixels {
            Pixels::Normalised(all) => self.normalise.append(pixels, all),
            Pixels::Bytes(all, _) => all.extend_from_slice(pixels.as_raw()),
        }
        batch.labels.push(label);
    }
}

/// What all threads of a loader know.
#[derive(Clone)]
struct Shared {
    form: Form,
    settings: LoaderSettings,
    stop: Arc<AtomicBool>,
    unreadable: Arc<Unreadable>,
}

/// An independent random stream for each place in each epoch.
pub(super) fn sample_rng(seed: u64, epoch: usize, slot: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (to, part) in key.chunks_exact_mut(8).zip([seed, epoch as u64, slot as u64]) {
        to.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
