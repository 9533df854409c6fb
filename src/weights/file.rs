//! An opened file of weights.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use serde_json::Value;

use super::contents::Contents;
use super::formats;
use super::naming::{Translated, translate};
use crate::error::{Error, Result};
use crate::vit::VitConfig;

/// The metadata entry with the model's architecture and shape, in files written by
/// [`save`](super::save).
pub(crate) const CONFIG_KEY: &str = "singer.vit";

/// The metadata entry that says how a model's images are prepared: JSON with at least
/// the channel `mean` and `std`.
pub const PREPROCESS_KEY: &str = "singer.preprocess";

/// The named tensors of a file of weights of any kind, recognised by its content:
/// - [safetensors](https://github.com/huggingface/safetensors),
/// - an index of several such files, or the folder that holds it,
/// - what [`torch.save`](https://docs.pytorch.org/docs/stable/generated/torch.save.html)
///   writes; its pickle is read as data and nothing in it is run.
///
/// A file on disk is mapped into memory and a tensor is read, as f32, when it is
/// asked for; the file must not be shortened meanwhile. In a browser there are only
/// safetensors files in memory. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    path: PathBuf,
    contents: Contents,
}

impl WeightsFile {
    /// Opens a file, or the folder that holds it, and checks all that it says about its
    /// tensors.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] for a file that is damaged or of
    /// another kind.
    #[cfg(not(target_family = "wasm"))]
    pub fn open(path: &Path) -> Result<Self> {
        let (path, contents) = formats::open(path)?;
        Self::of(path, contents)
    }

    /// Opens a safetensors file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for one that is damaged or of another kind.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let path = PathBuf::from(name);
        let contents = formats::from_bytes(&path, bytes)?;
        Self::of(path, contents)
    }

    fn of(path: PathBuf, contents: Contents) -> Result<Self> {
        match contents.under_own_names() {
            Ok(contents) => Ok(Self { path, contents }),
            Err(reason) => Err(Error::checkpoint(path, &reason)),
        }
    }

    /// The file, or its name where it is in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.contents.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.contents.tensors.get(name).map(|entry| entry.shape())
    }

    /// A tensor as f32, whatever its type on disk; none where there is none of this name.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a tensor of integers, or whose bytes are damaged.
    pub fn read(&self, name: &str) -> Option<Result<TensorData>> {
        let entry = self.contents.tensors.get(name)?;
        Some(
            entry
                .read()
                .map_err(|reason| Error::checkpoint(&self.path, &format!("{name} {reason}"))),
        )
    }

    /// The rows `rows` of a tensor along its first axis, as f32; none where there are no
    /// such tensor or rows. Of a safetensors file only these rows are read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_rows(&self, name: &str, rows: Range<usize>) -> Option<Result<TensorData>> {
        let part = self.contents.tensors.get(name)?.rows(rows)?;
        Some(
            part.read()
                .map_err(|reason| Error::checkpoint(&self.path, &format!("{name} {reason}"))),
        )
    }

    /// The metadata of a safetensors file; other kinds have none.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.contents.metadata
    }

    /// The architecture's name and shape, where [`save`](super::save) wrote the file.
    pub(super) fn stored_config(&self) -> Result<Option<(String, VitConfig)>> {
        let Some(text) = self.metadata().get(CONFIG_KEY) else {
            return Ok(None);
        };
        serde_json::from_str(text).map(Some).map_err(|error| {
            Error::checkpoint(&self.path, &format!("its {CONFIG_KEY} entry is damaged: {error}"))
        })
    }

    /// The channel statistics of the model's images, where the file states them.
    pub(super) fn stored_mean_std(&self) -> Option<([f32; 3], [f32; 3])> {
        let prepared: Value = serde_json::from_str(self.metadata().get(PREPROCESS_KEY)?).ok()?;
        let channels = |key: &str| serde_json::from_value(prepared[key].clone()).ok();
        channels("mean").zip(channels("std"))
    }

    /// The tensors under timm's names, whatever naming theirs is.
    pub(super) fn translate(&self) -> Result<Translated> {
        translate(self.contents.clone()).map_err(|reason| Error::naming(&self.path, &reason))
    }
}
