//! How many images are unreadable, and how many may be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Images of which a share is allowed where their number is not known and fewer are seen.
const LEAST: usize = 1000;

/// Images of a set from which on one may be unreadable, however small the share.
const ONE_ALLOWED: usize = 20;

/// The distinct unreadable images so far, of which a share is passed over.
#[derive(Debug)]
pub struct Unreadable {
    /// Why each could not be read.
    seen: Mutex<BTreeMap<u64, String>>,
    /// Number of images, where it is known.
    images: Option<usize>,
    /// The share that is passed over.
    allowed: f64,
}

/// Unreadable images that were passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PassedOver {
    /// How many.
    pub count: usize,
    /// How many images there are; none where that is not known.
    pub images: Option<usize>,
    /// The first of them, with the reason.
    pub first: String,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, images, first } = self;
        match images {
            Some(images) => write!(out, "{count} of {images} images")?,
            None => write!(out, "{count} image{}", if *count == 1 { "" } else { "s" })?,
        }
        let were = if *count == 1 { "was" } else { "were" };
        write!(out, " {were} unreadable and passed over; the first: {first}")
    }
}

impl Unreadable {
    /// None so far of so many images, where their number is known. The share `allowed` of
    /// them, 0 to 1, may be unreadable; of 20 and more one always, unless it is 0.
    pub fn new(images: Option<usize>, allowed: f64) -> Self {
        Self { seen: Mutex::default(), images, allowed }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.seen.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The images in order.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }

    /// What was passed over; none where every image could be read.
    pub fn passed_over(&self) -> Option<PassedOver> {
        let seen = self.lock();
        let first = seen.values().next()?.clone();
        Some(PassedOver { count: seen.len(), images: self.images, first })
    }

    /// The images that are `wanted`, and why they could not be read.
    pub(crate) fn reasons(&self, mut wanted: impl FnMut(u64) -> bool) -> Vec<(u64, String)> {
        let seen = self.lock();
        let wanted = seen.iter().filter(|(image, _)| wanted(**image));
        wanted.map(|(&image, reason)| (image, reason.clone())).collect()
    }

    /// As [`note`](Self::note), of an image that the rank `rank` could not read.
    pub(crate) fn note_told(
        &self,
        image: u64,
        rank: usize,
        reason: String,
        read: usize,
    ) -> Result<()> {
        self.lock().entry(image).or_insert_with(|| reason.clone());
        self.note(image, Error::Told { rank, message: reason }, read)
    }

    /// How many of so many images may be unreadable.
    pub(crate) fn most(images: usize, allowed: f64) -> usize {
        let least = usize::from(allowed > 0.0 && images >= ONE_ALLOWED);
        ((allowed * images as f64) as usize).max(least)
    }

    /// Notes that an image could not be read for the reason `error`; `read` images were tried
    /// so far, which counts where the number of all is not known.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where they are more than the share that is allowed; `error` where
    /// none is.
    pub fn note(&self, image: u64, error: Error, read: usize) -> Result<()> {
        let mut seen = self.lock();
        seen.entry(image).or_insert_with(|| error.to_string());
        let images = self.images.unwrap_or(read.max(LEAST));
        if self.allowed == 0.0 {
            return Err(error);
        }
        if seen.len() <= Self::most(images, self.allowed) && seen.len() < images {
            return Ok(());
        }
        Err(Error::Unreadable {
            last: Box::new(error),
            unreadable: seen.len(),
            images,
            allowed: self.allowed,
        })
    }
}
