//! Plain named tensors in a safetensors file.

use std::collections::{BTreeMap, HashMap};
#[cfg(not(target_family = "wasm"))]
use std::{fs, path::Path, sync::Arc};

use burn::tensor::{DType, TensorData};
use serde_json::{Map, json};

#[cfg(not(target_family = "wasm"))]
use super::atomic::write_atomically;
#[cfg(not(target_family = "wasm"))]
use super::entry::Bytes;
use super::safetensors;
use crate::error::{Error, Result};

/// Named tensors of f32, f64 or f16 and string metadata in one safetensors file. f16 is
/// written only; [`WeightsFile`](super::WeightsFile) reads it.
#[derive(Debug, Default, Clone)]
pub struct NamedTensors {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorData>,
    /// The file's metadata.
    pub metadata: HashMap<String, String>,
}

impl NamedTensors {
    /// Reads a file of f32 and f64 tensors.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Checkpoint`].
    #[cfg(not(target_family = "wasm"))]
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_bytes(fs::read(path).map_err(|error| Error::io(path, error))?, path)
    }

    /// Those in a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    #[cfg(not(target_family = "wasm"))]
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self> {
        let damaged = |reason: &str| Error::checkpoint(path, reason);
        let contents = safetensors::read(&Arc::new(Bytes::Held(bytes)));
        let contents = contents.map_err(|reason| damaged(&reason))?;
        let tensors = contents.tensors.into_iter().map(|(name, entry)| {
            let data = entry.read_exact().map_err(|reason| damaged(&format!("{name} {reason}")))?;
            Ok((name, data))
        });
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, metadata: contents.metadata })
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing half-written stays.
    #[cfg(not(target_family = "wasm"))]
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes()?)
    }

    /// The file's bytes; equal contents give equal bytes.
    ///
    /// # Errors
    /// [`Error::Element`] for tensors of other types than f32, f64 and f16.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        for (name, data) in &self.tensors {
            let (dtype, size) = match data.dtype() {
                DType::F64 => ("F64", 8),
                DType::F32 => ("F32", 4),
                DType::F16 => ("F16", 2),
                other => {
                    return Err(Error::Element { name: name.clone(), found: format!("{other:?}") });
                }
            };
            tensors.push((name.as_str(), dtype, size, data));
        }
        // Wider elements first, so that each tensor is aligned to its own.
        tensors.sort_by_key(|&(_, _, size, _)| std::cmp::Reverse(size));
        let metadata: Map<_, _> =
            self.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let entries = tensors.iter().map(|(name, dtype, _, data)| {
            (*name, *dtype, data.shape().to_vec(), data.as_bytes().len())
        });
        let mut bytes = safetensors::header(entries, metadata);
        tensors.iter().for_each(|(.., data)| bytes.extend_from_slice(data.as_bytes()));
        Ok(bytes)
    }
}
