use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::TensorData;
use serde_json::Value;

use super::bytes::Bytes;
use super::contents::Contents;
use super::header;
use super::naming::{Translated, translate};
use super::{CONFIG_KEY, PREPROCESS_KEY};
#[cfg(not(target_family = "wasm"))]
use super::{shards, torch};
use crate::error::{Error, Result};
use crate::vit::VitConfig;

#[cfg(not(target_family = "wasm"))]
/// What a folder of weights is read through, the first that it holds.
const IN_FOLDER: [&str; 3] =
    ["model.safetensors.index.json", "model.safetensors", "pytorch_model.bin"];

/// Characters of a reason that a message repeats.
const MAX_REASON: usize = 240;
/// The same where the reason names tensors.
const MAX_NAMING_REASON: usize = 640;

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
    /// Opens a file and checks all that it says about its tensors.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] for a file that is damaged or of
    /// another kind.
    #[cfg(not(target_family = "wasm"))]
    pub fn open(path: &Path) -> Result<Self> {
        let is_folder = path.is_dir();
        let inside = is_folder
            .then(|| IN_FOLDER.iter().map(|name| path.join(name)).find(|file| file.is_file()))
            .flatten();
        let path = match &inside {
            Some(file) => file,
            None if is_folder => {
                return Err(fault(path, &format!("a folder without {}", IN_FOLDER.join(" or "))));
            }
            None => path,
        };
        let bytes = Arc::new(Bytes::map(path)?);
        let contents = match kind(&bytes) {
            Ok(Kind::Index) => shards::contents(path, &bytes)?,
            _ => read_single(path, &bytes)?,
        };
        Self::of(path, contents)
    }

    /// Takes a safetensors file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for one that is damaged or of another kind.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let path = Path::new(name);
        let bytes = Arc::new(Bytes::Held(bytes));
        let contents = match kind(&bytes) {
            Ok(Kind::Safetensors) => header::contents(&bytes),
            Ok(Kind::Torch) => {
                Err("a file of torch.save is read from disk only: export it as safetensors".into())
            }
            Ok(Kind::Index) => Err("a shard index is read from disk only: merge its shards".into()),
            Err(reason) => Err(reason.into()),
        };
        Self::of(path, contents.map_err(|reason| fault(path, &reason))?)
    }

    fn of(path: &Path, contents: Contents) -> Result<Self> {
        let contents = contents.under_own_names().map_err(|reason| fault(path, &reason))?;
        Ok(Self { path: path.to_owned(), contents })
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

    /// A tensor as f32, whatever float it is on disk; none of this name.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a tensor of integers, or whose bytes are damaged.
    pub fn read(&self, name: &str) -> Option<Result<TensorData>> {
        let entry = self.contents.tensors.get(name)?;
        Some(entry.read().map_err(|reason| fault(&self.path, &format!("{name} {reason}"))))
    }

    /// The part `rows` of a tensor along its first axis, as f32; none where there is
    /// no such tensor or part. Of a safetensors file only that part is read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_rows(&self, name: &str, rows: Range<usize>) -> Option<Result<TensorData>> {
        let part = self.contents.tensors.get(name)?.rows(rows)?;
        Some(part.read().map_err(|reason| fault(&self.path, &format!("{name} {reason}"))))
    }

    /// The metadata of a safetensors file; other kinds have none.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.contents.metadata
    }

    /// What [`save`](super::save) wrote of the architecture, if it did.
    pub(super) fn stored_config(&self) -> Result<Option<(String, VitConfig)>> {
        let Some(text) = self.metadata().get(CONFIG_KEY) else {
            return Ok(None);
        };
        serde_json::from_str(text).map(Some).map_err(|error| {
            fault(&self.path, &format!("its {CONFIG_KEY} entry is damaged: {error}"))
        })
    }

    /// The channel statistics of the images that it was made for, where it says them.
    pub(super) fn stored_mean_std(&self) -> Option<([f32; 3], [f32; 3])> {
        let prepared: Value = serde_json::from_str(self.metadata().get(PREPROCESS_KEY)?).ok()?;
        let channels = |key: &str| serde_json::from_value(prepared[key].clone()).ok();
        channels("mean").zip(channels("std"))
    }

    /// The tensors under timm's names, whatever naming theirs is.
    pub(super) fn translate(&self) -> Result<Translated> {
        translate(self.contents.clone()).map_err(|reason| Error::Naming {
            path: self.path.clone(),
            reason: one_line(&reason, MAX_NAMING_REASON),
        })
    }
}

/// The tensors of one file that is not an index.
#[cfg(not(target_family = "wasm"))]
pub(super) fn single(path: &Path) -> Result<Contents> {
    read_single(path, &Arc::new(Bytes::map(path)?))
}

#[cfg(not(target_family = "wasm"))]
fn read_single(path: &Path, bytes: &Arc<Bytes>) -> Result<Contents> {
    let contents = match kind(bytes) {
        Ok(Kind::Safetensors) => header::contents(bytes),
        Ok(Kind::Torch) => torch::contents(path, bytes.len() as u64),
        Ok(Kind::Index) => Err("it is a shard index where weights should be".into()),
        Err(reason) => Err(reason.into()),
    };
    contents.map_err(|reason| fault(path, &reason))
}

enum Kind {
    Safetensors,
    Torch,
    Index,
}

fn kind(bytes: &[u8]) -> Result<Kind, &'static str> {
    let starts = |with: &[u8]| bytes.starts_with(with);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let text = first == Some(&b'{');
    let header_fits = bytes
        .first_chunk::<8>()
        .is_some_and(|length| u64::from_le_bytes(*length) <= bytes.len() as u64);
    // The length that begins a safetensors file may itself look like text.
    if bytes.get(8) == Some(&b'{') && (header_fits || !text) {
        return Ok(Kind::Safetensors);
    }
    if text {
        return Ok(Kind::Index);
    }
    // The zip archive of `torch.save`, the pickle that it wrote before, and the
    // tar archive before that.
    if starts(b"PK\x03\x04") || starts(b"\x80") || bytes.get(257..262) == Some(b"ustar") {
        return Ok(Kind::Torch);
    }
    Err(match bytes {
        [] => "it is too short: it is empty",
        _ if starts(b"\x89PNG") || starts(b"\xff\xd8\xff") || starts(b"GIF8") => "it is an image",
        _ if first == Some(&b'<') => "it is a web page, perhaps of a failed download",
        _ if starts(b"version https://git-lfs") => {
            "it is a pointer of Git LFS: fetch the file itself with `git lfs pull`"
        }
        _ if bytes.len() < 9 => "it is too short",
        _ => "it is neither safetensors nor a file of torch.save",
    })
}

/// An error about a file; what a hostile one put into the reason stays one
/// short line.
pub(super) fn fault(path: &Path, reason: &str) -> Error {
    Error::Checkpoint { path: path.to_owned(), reason: one_line(reason, MAX_REASON) }
}

fn one_line(reason: &str, most: usize) -> String {
    let mut line: String =
        reason.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < reason.len() {
        line.push('…');
    }
    line
}
