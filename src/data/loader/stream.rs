//! Batches of a stream: one thread puts the samples in order, the others decode.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use image::RgbImage;

use super::{Batch, Order, Shared, sample_rng};
use crate::data::decode::decode_within;
use crate::data::stream::{ImageStream, Sample, Sequence};
use crate::error::{Error, Result};

/// Samples before a batch that stand in where none of its own is readable.
const SPARE: usize = 4;

/// How often an idle thread looks whether the loader is gone.
const LOOK: Duration = Duration::from_millis(50);

/// Samples of a batch before they are decoded.
struct Job {
    /// Number of the first sample, of all parts.
    first: usize,
    samples: Vec<Arc<Sample>>,
    /// Which of the samples to give; the others may stand in for them.
    places: Range<usize>,
    spare: Vec<Arc<Sample>>,
}

/// A thread for each lane, and one that gives each its samples.
pub(super) fn start(
    images: ImageStream,
    shared: &Shared,
    lanes: Vec<SyncSender<Result<Batch>>>,
    first: usize,
) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::with_capacity(lanes.len());
    let mut jobs = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let (sender, receiver) = sync_channel(1);
        jobs.push(sender);
        let worker = Worker { images: images.clone(), shared: shared.clone() };
        threads.push(std::thread::spawn(move || worker.run(&receiver, &lane)));
    }
    let shared = shared.clone();
    // Not joined: it may wait for a server.
    std::thread::spawn(move || order(images, &shared, &jobs, first));
    threads
}

/// Goes through the samples and gives each batch to its lane.
///
/// Where all shards are local files, a part goes through all samples too, which are references,
/// and reads its own: the order does not depend on the parts. Of others it reads its own shards
/// alone.
fn order(images: ImageStream, shared: &Shared, lanes: &[SyncSender<Result<Job>>], first: usize) {
    let batch = shared.settings.batch;
    let places = shared.settings.places(batch);
    let (part, of) = shared.settings.part;
    let (images, count, places, offset) = match of == 1 || images.is_local() {
        true => (images, batch, places, 0),
        false => match images.with_part(part, of) {
            Ok(images) => (images, places.len(), 0..places.len(), places.start),
            Err(error) => {
                // Nobody waits for it where the loader is gone.
                let _ = lanes[0].send(Err(error));
                return;
            }
        },
    };
    let seed = (shared.settings.order == Order::Shuffled).then_some(shared.settings.seed);
    // The batch before the first has its spare samples.
    let before = (first * count).saturating_sub(SPARE);
    let (mut sequence, passed_over) = Sequence::near(images, seed, before);
    let mut spare = Vec::new();
    let mut number = before - passed_over;
    for lane in 0.. {
        let mut samples = Vec::with_capacity(count);
        let mut failed = None;
        while samples.len() < count {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            match sequence.next() {
                Some(Ok(_)) if number < before => {}
                Some(Ok(sample)) if number < first * count => spare.push(Arc::new(sample)),
                Some(Ok(sample)) => samples.push(Arc::new(sample)),
                Some(Err(error)) => {
                    failed = Some(error);
                    break;
                }
                None => break,
            }
            number += 1;
        }
        let ended = samples.len() < count;
        let lane = &lanes[lane % lanes.len()];
        let start = number - samples.len();
        if let Some(error) = failed {
            // Nobody waits for it where the loader is gone.
            let _ = lane.send(Err(error));
            return;
        }
        if samples.is_empty() {
            return;
        }
        let last = samples[samples.len().saturating_sub(SPARE)..].to_vec();
        let spare = std::mem::replace(&mut spare, last);
        let places = places.start.min(samples.len())..places.end.min(samples.len());
        let first = start / count.max(1) * batch + offset;
        if lane.send(Ok(Job { first, samples, places, spare })).is_err() || ended {
            return;
        }
    }
}

struct Worker {
    images: ImageStream,
    shared: Shared,
}

impl Worker {
    fn run(self, jobs: &Receiver<Result<Job>>, lane: &SyncSender<Result<Batch>>) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let job = match jobs.recv_timeout(LOOK) {
                Ok(job) => job,
                // The samples may wait for a server, and the loader may be gone meanwhile.
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let batch = job.and_then(|job| self.batch(&job));
            let failed = batch.is_err();
            if lane.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn batch(&self, job: &Job) -> Result<Batch> {
        let form = self.shared.form;
        let count = job.samples.len();
        let mut batch = form.empty(job.places.len());
        for slot in job.places.clone() {
            // In an endless order the next sample of the batch replaces an unreadable one, at
            // last one before it.
            let own = job.samples[slot..].iter().chain(&job.samples[..slot]);
            let once = self.shared.settings.order == Order::Sequential;
            let tries = if once { 1 } else { usize::MAX };
            let mut found = None;
            for sample in own.chain(&job.spare).take(tries) {
                match self.read(sample, job.first + slot) {
                    Ok(image) => {
                        found = Some(image);
                        break;
                    }
                    Err(error) => {
                        let read = job.first + count;
                        self.shared.unreadable.note(identity(sample), error, read)?;
                    }
                }
            }
            let Some((pixels, label)) = found else {
                if once {
                    continue;
                }
                let path = job.samples[slot].path();
                return Err(Error::data(path, "is unreadable, and so are all images around it"));
            };
            form.append(&pixels, label, &mut batch);
        }
        Ok(batch)
    }

    /// A sample's image, augmented as that of place `number`, and its label.
    fn read(&self, sample: &Sample, number: usize) -> Result<(RgbImage, usize)> {
        let label = self.images.label(sample)?.unwrap_or(0);
        let path = sample.path();
        let image = decode_within(&sample.bytes()?, &path, self.images.max_pixels())?;
        let mut rng = sample_rng(self.shared.settings.seed, 0, number);
        let pixels = self.shared.form.transform.apply(&image, &mut rng);
        Ok((pixels.map_err(|error| Error::data(&path, error.to_string()))?, label))
    }
}

/// The same number for the same sample in every epoch.
fn identity(sample: &Sample) -> u64 {
    let mut hasher = DefaultHasher::new();
    sample.path().hash(&mut hasher);
    hasher.finish()
}
