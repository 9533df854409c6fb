use std::ops::{Deref, Range};
#[cfg(not(target_family = "wasm"))]
use std::{fs, fs::File, path::Path};

#[cfg(not(target_family = "wasm"))]
use memmap2::Mmap;

#[cfg(not(target_family = "wasm"))]
use crate::error::{Error, Result};

/// A file's bytes.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Mapped into memory.
    #[cfg(not(target_family = "wasm"))]
    Mapped(Mmap),
    /// Held in memory.
    Held(Vec<u8>),
}

impl Bytes {
    /// Maps a file.
    ///
    /// # Errors
    /// [`Error::Io`], also for what is no regular file.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn map(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        // Asked before opening, which would wait at a pipe.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(super::file::fault(path, "it is not a regular file"));
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is only read. Another process that shortens the file
        // meanwhile ends this one; nothing short of a copy prevents that.
        unsafe { Mmap::map(&file) }.map(Self::Mapped).map_err(io)
    }

    /// Lets the system take a mapped file's pages back, so that loading a model does
    /// not end with the whole file in memory beside it.
    pub(super) fn release(&self, at: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the map is of a file and only read, so the pages hold nothing
            // that is not in the file; the next access reads them again. It is
            // advice: an error changes nothing.
            let _ = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                map.unchecked_advise_range(advice, at.start, at.len())
            };
        }
        #[cfg(not(unix))]
        let _ = at;
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}
