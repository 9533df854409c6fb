//! Batches of a set: each thread reads its own by index.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use rand::seq::SliceRandom;

use super::{Batch, Loader, Order, Shared, sample_rng};
use crate::data::image_set::ImageSet;
use crate::error::{Error, Result};

/// One thread for each lane.
pub(super) fn start(
    images: &ImageSet,
    shared: &Shared,
    lanes: Vec<SyncSender<Result<Batch>>>,
    first: usize,
) -> Vec<JoinHandle<()>> {
    let stride = lanes.len();
    let start = |(number, lane): (usize, SyncSender<Result<Batch>>)| {
        let worker = Worker { images: images.clone(), shared: shared.clone(), epoch: None };
        std::thread::spawn(move || worker.run(first + number, stride, &lane))
    };
    lanes.into_iter().enumerate().map(start).collect()
}

struct Worker {
    images: ImageSet,
    shared: Shared,
    epoch: Option<(usize, Vec<usize>)>,
}

impl Worker {
    fn run(mut self, first: usize, stride: usize, lane: &SyncSender<Result<Batch>>) {
        let per_epoch = Loader::batches_per_epoch(self.images.len(), &self.shared.settings).max(1);
        let mut index = first;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let (epoch, position) = (index / per_epoch, index % per_epoch);
            if self.shared.settings.order == Order::Sequential && epoch > 0 {
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
        let start = position * self.shared.settings.batch;
        let end = (start + self.shared.settings.batch).min(total);
        let form = self.shared.form;
        let places = self.shared.settings.places(end - start);
        let mut batch = form.empty(places.len());
        for slot in places.map(|place| start + place) {
            // In an endless order the next image replaces an unreadable one.
            let mut shift = 0;
            loop {
                let image = self.order(epoch)[(slot + shift) % total];
                let mut rng = sample_rng(self.shared.settings.seed, epoch, slot);
                let read = self.images.read(image);
                let pixels = read.and_then(|pixels| {
                    let transformed = form.transform.apply(&pixels, &mut rng);
                    transformed
                        .map_err(|error| Error::data(self.images.name(image), error.to_string()))
                });
                match pixels {
                    Ok(pixels) => {
                        form.append(&pixels, self.images.label(image).unwrap_or(0), &mut batch);
                        break;
                    }
                    Err(error) => self.shared.unreadable.note(image as u64, error, 0)?,
                }
                if self.shared.settings.order == Order::Sequential {
                    break;
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

    fn order(&mut self, epoch: usize) -> &[usize] {
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let mut order: Vec<usize> = (0..self.images.len()).collect();
            if self.shared.settings.order == Order::Shuffled {
                order.shuffle(&mut sample_rng(self.shared.settings.seed, epoch, usize::MAX));
            }
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(&[], |(_, order)| order)
    }
}
