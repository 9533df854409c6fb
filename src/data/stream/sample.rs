//! Samples as shards hold them: an encoded image and its label's text.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shard::Shard;
use crate::error::{Error, Result};

/// An image that is not yet decoded.
#[derive(Debug)]
pub(in crate::data) struct Sample {
    pub(super) shard: Arc<Shard>,
    /// The member's or row's name in the shard.
    pub(super) name: String,
    /// As the shard writes it: a number or the name of a class.
    pub(super) label: Option<String>,
    pub(super) content: Content,
    /// Other images among the sample's members, which are passed over.
    pub(super) further: usize,
}

/// Where the encoded image is.
#[derive(Debug)]
pub(super) enum Content {
    /// In the shard's file, which is local.
    Span { offset: u64, length: u64 },
    /// Here.
    Bytes(Vec<u8>),
    /// Nowhere, for this reason.
    Refused(String),
}

impl Sample {
    /// Where it is, for messages.
    pub(in crate::data) fn path(&self) -> PathBuf {
        self.shard.path().join(&self.name)
    }

    /// Size of the encoded image.
    pub(super) fn length(&self) -> u64 {
        match &self.content {
            Content::Span { length, .. } => *length,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Refused(_) => 0,
        }
    }

    /// The encoded image.
    ///
    /// # Errors
    /// [`Error::Io`] where the shard is gone, [`Error::Data`] where it holds no image here.
    pub(in crate::data) fn bytes(&self) -> Result<std::borrow::Cow<'_, [u8]>> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.into()),
            Content::Span { offset, length } => {
                span(&self.shard.path(), *offset, *length).map(Into::into)
            }
            Content::Refused(reason) => Err(Error::data(self.path(), reason)),
        }
    }
}

/// `length` bytes of a file from `offset` on.
pub(super) fn span(path: &Path, offset: u64, length: u64) -> Result<Vec<u8>> {
    let read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length as usize];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| Error::io(path, error))
}
