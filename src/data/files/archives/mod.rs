//! Zip and tar files, whose files are read in place.

mod tar;
mod zip;

use std::path::Path;
use std::sync::Mutex;

pub(super) use self::tar::Tar;
pub(super) use self::zip::Zip;

use super::names::slashed;
use crate::error::{Error, Result};

/// The most bytes of one file; a larger one may be a bomb.
pub(in crate::data) const MAX_FILE: u64 = 256 << 20;

/// Open handles of one archive, one for each thread that reads concurrently.
#[derive(Debug)]
struct Handles<T>(Mutex<Vec<T>>);

impl<T> Handles<T> {
    fn new(first: T) -> Self {
        Self(Mutex::new(vec![first]))
    }

    /// The result of `work` with a handle, which `open` makes where all are in use.
    fn with<R>(
        &self,
        open: impl FnOnce() -> Result<T>,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R> {
        let free = self.0.lock().unwrap_or_else(|poison| poison.into_inner()).pop();
        let mut handle = match free {
            Some(handle) => handle,
            None => open()?,
        };
        let result = work(&mut handle);
        self.0.lock().unwrap_or_else(|poison| poison.into_inner()).push(handle);
        Ok(result)
    }
}

/// The name in an archive of the file at `path`, which leads into it.
fn inner_name(archive: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(archive).unwrap_or(path).to_string_lossy();
    slashed(&inner).into_owned()
}

fn unreadable(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::data(path, format!("unreadable image ({reason})"))
}
