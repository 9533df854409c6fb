//! An opened file of weights.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::TensorData;
use serde_json::Value;

use super::contents::Contents;
use super::formats;
use super::naming::{Ambiguous, Choice, Place, Translated, choose, unknown};
use crate::error::{Error, Result};
use crate::vit::VitConfig;

/// The metadata entry with the model's architecture and shape, in files written by
/// [`save`](super::save).
pub(crate) const CONFIG_KEY: &str = "singer.vit";

/// The metadata entry that says how a model's images are prepared: JSON with at least
/// the channel `mean` and `std`.
pub const PREPROCESS_KEY: &str = "singer.preprocess";

/// The most keys that a message lists where none is known to be a model's.
const MAX_KEYS: usize = 16;

/// The named tensors of a file of weights of any kind, recognised by its content:
/// - [safetensors](https://github.com/huggingface/safetensors),
/// - an index of several such files, or the folder that holds it,
/// - what [`torch.save`](https://docs.pytorch.org/docs/stable/generated/torch.save.html)
///   writes; its pickle is read as data and nothing in it is run.
///
/// A file on disk is mapped into memory and a tensor is read, as f32, when it is
/// asked for; the file must not be shortened meanwhile. In a browser there are only
/// safetensors files in memory. Cloning is cheap.
///
/// Where the tensors of a Vision Transformer are under a prefix or a key of a checkpoint,
/// whichever that is, the file stands for those tensors, under names without it. Of several
/// models an average of the weights (EMA) is taken, else the teacher, else the one that is
/// not the student; [`under`](Self::under) takes another.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    path: PathBuf,
    all: Arc<Contents>,
    /// The tensors of the model that is meant; all where it is none.
    own: Arc<Contents>,
    choice: Result<Option<Choice>, Ambiguous>,
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
        Ok(Self::of(path, contents, None))
    }

    /// As [`open`](Self::open), and where there is a key, [`under`](Self::under) it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`under`](Self::under).
    #[cfg(not(target_family = "wasm"))]
    pub fn open_under(path: &Path, key: Option<&str>) -> Result<Self> {
        let file = Self::open(path)?;
        key.map_or(Ok(file.clone()), |key| file.under(key))
    }

    /// Opens a safetensors file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for one that is damaged or of another kind.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let path = PathBuf::from(name);
        let contents = formats::from_bytes(&path, bytes)?;
        Ok(Self::of(path, contents, None))
    }

    fn of(path: PathBuf, all: Contents, key: Option<&str>) -> Self {
        let choice = choose(&all, key);
        let all = Arc::new(all);
        let own = match &choice {
            Ok(Some(choice)) => Arc::new(choice.contents(&all)),
            Ok(None) | Err(_) => Arc::clone(&all),
        };
        Self { path, all, own, choice }
    }

    /// The same file, of which only the tensors under a key of the checkpoint, or under a
    /// prefix of their names that ends before a dot, are looked at.
    ///
    /// # Errors
    /// [`Error::WeightsKey`] where there are none.
    pub fn under(&self, key: &str) -> Result<Self> {
        let key = key.trim_end_matches('.');
        let prefix = format!("{key}.");
        let mut part = Contents::clone(&self.all);
        part.tensors.retain(|name, _| name.starts_with(&prefix));
        part.bookkeeping.retain(|name| name.starts_with(&prefix));
        if part.tensors.is_empty() {
            let (path, key) = (self.path.clone(), key.to_owned());
            return Err(Error::WeightsKey { path, key, found: self.keys() });
        }
        Ok(Self::of(self.path.clone(), part, Some(key)))
    }

    /// The keys of the models in the file; where there are none, the first parts of the
    /// tensors' names.
    fn keys(&self) -> Vec<String> {
        let mut keys = match &self.choice {
            Ok(Some(Choice { place, others })) => {
                [place].into_iter().chain(others).map(Place::key).collect()
            }
            Ok(None) => Vec::new(),
            Err(Ambiguous(places)) => places.iter().map(Place::key).collect(),
        };
        keys.retain(|key| !key.is_empty());
        if keys.is_empty() {
            let first = |name: &String| Some(name.split_once('.')?.0.to_owned());
            keys = self.all.tensors.keys().filter_map(first).collect();
            keys.dedup();
            keys.truncate(MAX_KEYS);
        }
        keys
    }

    /// The file, or its name where it is in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.own.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.own.tensors.get(name).map(|entry| entry.shape())
    }

    /// A tensor as f32, whatever its type on disk; none where there is none of this name.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a tensor of integers, or whose bytes are damaged.
    pub fn read(&self, name: &str) -> Option<Result<TensorData>> {
        let entry = self.own.tensors.get(name)?;
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
        let part = self.own.tensors.get(name)?.rows(rows)?;
        Some(
            part.read()
                .map_err(|reason| Error::checkpoint(&self.path, &format!("{name} {reason}"))),
        )
    }

    /// The metadata of a safetensors file; other kinds have none.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.own.metadata
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
        let fault = |reason: String| Error::naming(&self.path, &reason);
        match &self.choice {
            Ok(Some(choice)) => choice.place.translate(Contents::clone(&self.own)).map_err(fault),
            Ok(None) => Err(fault(match self.foreign() {
                Some(reason) => reason.into(),
                None => unknown(&self.all),
            })),
            Err(ambiguous) => Err(Error::SeveralModels {
                path: self.path.clone(),
                found: ambiguous.described(&self.all),
            }),
        }
    }

    /// What has to be done with a part of another program's checkpoint.
    #[cfg(not(target_family = "wasm"))]
    fn foreign(&self) -> Option<&'static str> {
        super::folder::foreign(self.path.file_name()?.to_str()?)
    }

    #[cfg(target_family = "wasm")]
    fn foreign(&self) -> Option<&'static str> {
        None
    }

    /// What was taken of a file that holds more than the model; none where it does not.
    pub(crate) fn taken(&self) -> Option<String> {
        let Ok(Some(Choice { place, others })) = &self.choice else { return None };
        let others: Vec<String> = others.iter().map(Place::key).collect();
        if place.root.is_empty() && others.is_empty() {
            return None;
        }
        let mut line = match place.prefix() {
            prefix if prefix.is_empty() => "took the tensors whose names have no prefix".into(),
            _ => format!("took the tensors under `{}`", place.key()),
        };
        if let Some(role) = place.role().filter(|_| !others.is_empty()) {
            line += &format!(", {role}");
        }
        if !others.is_empty() {
            line += &format!("; another weights key takes others: {}", others.join(", "));
        }
        Some(line)
    }
}
