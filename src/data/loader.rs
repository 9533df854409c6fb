use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::image_set::ImageSet;
use super::pixels::Pixels;
use super::transform::{Normalise, Transform};
use crate::error::{Error, Result};

/// The order in which a loader reads images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// A new permutation for each epoch; an incomplete last batch is dropped.
    Shuffled,
    /// Once, from first to last; the last batch may be short.
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
    unreadable: Arc<Mutex<BTreeSet<usize>>>,
}

/// Batches that a worker prepares ahead.
const AHEAD: usize = 2;

impl Loader {
    /// Starts the worker threads at batch `first`; they normalise the pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] where the set is smaller than one batch.
    pub fn start(
        images: ImageSet,
        transform: Transform,
        normalise: Normalise,
        settings: LoaderSettings,
        first: usize,
    ) -> Result<Self> {
        Self::start_as(images, transform, normalise, settings, first, false)
    }

    /// As [`start`](Self::start), with pixels as decoded, for a GPU to normalise
    /// ([`Pixels::Bytes`]).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_bytes(
        images: ImageSet,
        transform: Transform,
        normalise: Normalise,
        settings: LoaderSettings,
        first: usize,
    ) -> Result<Self> {
        Self::start_as(images, transform, normalise, settings, first, true)
    }

    fn start_as(
        images: ImageSet,
        transform: Transform,
        normalise: Normalise,
        settings: LoaderSettings,
        first: usize,
        bytes: bool,
    ) -> Result<Self> {
        let short = settings.order == Order::Shuffled && images.len() < settings.batch;
        if settings.batch == 0 || short {
            return Err(Error::setting(
                "batch",
                settings.batch,
                format!("it must lie between 1 and the number of images, {}", images.len()),
            ));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let unreadable = Arc::new(Mutex::new(BTreeSet::new()));
        let count = settings.workers.max(1);
        let mut lanes = Vec::with_capacity(count);
        let mut workers = Vec::with_capacity(count);
        for lane in 0..count {
            let (sender, receiver) = sync_channel(AHEAD);
            let worker = Worker {
                images: images.clone(),
                transform,
                normalise,
                bytes,
                settings,
                stop: stop.clone(),
                unreadable: unreadable.clone(),
                epoch: None,
            };
            workers.push(std::thread::spawn(move || worker.run(first + lane, count, &sender)));
            lanes.push(receiver);
        }
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
        self.unreadable.lock().unwrap_or_else(|poison| poison.into_inner()).len()
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    /// Endless for [`Order::Shuffled`]; one pass for [`Order::Sequential`].
    fn next(&mut self) -> Option<Self::Item> {
        let lane = self.next % self.lanes.len();
        let batch = self.lanes[lane].recv().ok();
        self.next += 1;
        batch
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

struct Worker {
    images: ImageSet,
    transform: Transform,
    normalise: Normalise,
    /// Whether pixels stay bytes.
    bytes: bool,
    settings: LoaderSettings,
    stop: Arc<AtomicBool>,
    unreadable: Arc<Mutex<BTreeSet<usize>>>,
    epoch: Option<(usize, Vec<usize>)>,
}

impl Worker {
    fn run(mut self, first: usize, stride: usize, lane: &SyncSender<Result<Batch>>) {
        let per_epoch = Loader::batches_per_epoch(self.images.len(), &self.settings).max(1);
        let mut index = first;
        while !self.stop.load(Ordering::Relaxed) {
            let (epoch, position) = (index / per_epoch, index % per_epoch);
            if self.settings.order == Order::Sequential && epoch > 0 {
                return;
            }
            let batch = self.batch(epoch, position);
            let failed = batch.is_err();
            if lane.send(batch).is_err() || failed {
                return;
            }
            index += stride;
        }
    }

    fn batch(&mut self, epoch: usize, position: usize) -> Result<Batch> {
        let total = self.images.len();
        let start = position * self.settings.batch;
        let end = (start + self.settings.batch).min(total);
        let pixels = match self.bytes {
            true => Pixels::Bytes(Vec::new(), self.normalise),
            false => Pixels::Normalised(Vec::new()),
        };
        let mut batch = Batch { pixels, labels: Vec::with_capacity(end - start) };
        for slot in start..end {
            // The next image in order replaces an unreadable one.
            let mut shift = 0;
            loop {
                let image = self.order(epoch)[(slot + shift) % total];
                let mut rng = sample_rng(self.settings.seed, epoch, slot);
                let read = self.images.read(image);
                let pixels = read.and_then(|pixels| {
                    let transformed = self.transform.apply(&pixels, &mut rng);
                    transformed
                        .map_err(|error| Error::data(self.images.name(image), error.to_string()))
                });
                match pixels {
                    Ok(pixels) => {
                        match &mut batch.pixels {
                            Pixels::Normalised(all) => self.normalise.append(&pixels, all),
                            Pixels::Bytes(all, _) => all.extend_from_slice(pixels.as_raw()),
                        }
                        batch.labels.push(self.images.label(image).unwrap_or(0));
                        break;
                    }
                    Err(error) => self.note_unreadable(image, error)?,
                }
                shift += 1;
                if shift >= total {
                    return Err(Error::data(
                        self.images.name(0),
                        "no image of the set is readable",
                    ));
                }
            }
        }
        Ok(batch)
    }

    fn note_unreadable(&self, image: usize, error: Error) -> Result<()> {
        let mut seen = self.unreadable.lock().unwrap_or_else(|poison| poison.into_inner());
        seen.insert(image);
        let allowed = self.settings.max_unreadable * self.images.len() as f64;
        if seen.len() as f64 <= allowed {
            return Ok(());
        }
        if allowed == 0.0 {
            return Err(error);
        }
        Err(Error::Unreadable {
            last: Box::new(error),
            unreadable: seen.len(),
            images: self.images.len(),
            allowed: self.settings.max_unreadable,
        })
    }

    fn order(&mut self, epoch: usize) -> &[usize] {
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let mut order: Vec<usize> = (0..self.images.len()).collect();
            if self.settings.order == Order::Shuffled {
                order.shuffle(&mut sample_rng(self.settings.seed, epoch, usize::MAX));
            }
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(&[], |(_, order)| order)
    }
}

/// An independent random stream for each place in each epoch.
fn sample_rng(seed: u64, epoch: usize, slot: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (to, part) in key.chunks_exact_mut(8).zip([seed, epoch as u64, slot as u64]) {
        to.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
