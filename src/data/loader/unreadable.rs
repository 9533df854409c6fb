//! How many images of a loader are unreadable, and how many may be.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use crate::error::{Error, Result};

/// Images of which a share is allowed where their number is not known and fewer are seen.
const LEAST: usize = 1000;

/// The distinct unreadable images so far.
#[derive(Debug)]
pub(super) struct Unreadable {
    seen: Mutex<BTreeSet<u64>>,
    /// Number of images, where it is known.
    images: Option<usize>,
    /// The share that is passed over.
    allowed: f64,
}

impl Unreadable {
    pub(super) fn new(images: Option<usize>, allowed: f64) -> Self {
        Self { seen: Mutex::default(), images, allowed }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.seen.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Notes that an image could not be read for the reason `error`; `read` images were tried
    /// so far, which counts where the number of all is not known.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where they are more than the share that is allowed; `error` where
    /// none is.
    pub(super) fn note(&self, image: u64, error: Error, read: usize) -> Result<()> {
        let mut seen = self.lock();
        seen.insert(image);
        let images = self.images.unwrap_or(read.max(LEAST));
        let allowed = self.allowed * images as f64;
        if seen.len() as f64 <= allowed {
            return Ok(());
        }
        if allowed == 0.0 {
            return Err(error);
        }
        Err(Error::Unreadable {
            last: Box::new(error),
            unreadable: seen.len(),
            images,
            allowed: self.allowed,
        })
    }
}
