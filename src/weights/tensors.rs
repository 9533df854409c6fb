use std::collections::{BTreeMap, HashMap};
#[cfg(not(target_family = "wasm"))]
use std::{fs, path::Path};

use burn::tensor::{DType, TensorData};
#[cfg(not(target_family = "wasm"))]
use safetensors::SafeTensors;
use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};

#[cfg(not(target_family = "wasm"))]
use super::write_atomically;
#[cfg(not(target_family = "wasm"))]
use crate::error::{Error, Result};

/// Named f32 or f64 tensors and string metadata in one safetensors file. Those
/// of f16 are written too; [`WeightsFile`](super::WeightsFile) reads them.
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
        let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
        let damaged = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F64 => DType::F64,
                other => return Err(damaged(format!("{name} is {other:?}, wanted F32 or F64"))),
            };
            let data =
                TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
            tensors.insert(name, data);
        }
        Ok(Self { tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing half-written stays.
    #[cfg(not(target_family = "wasm"))]
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes();
        let bytes = bytes.map_err(|error| Error::io(path, std::io::Error::other(error)))?;
        write_atomically(path, &bytes)
    }

    /// The file's bytes; the error is the reason why the tensors make none.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let views = self
            .tensors
            .iter()
            .map(|(name, data)| {
                let dtype = match data.dtype() {
                    DType::F64 => Dtype::F64,
                    DType::F16 => Dtype::F16,
                    _ => Dtype::F32,
                };
                TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
                    .map(|view| (name.as_str(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        let bytes = serialize(views, metadata).map_err(|error| error.to_string())?;
        Ok(with_sorted_header(bytes))
    }
}

/// The same file with the header's keys in order. The writer keeps metadata in
/// a hash map, so equal contents would not give equal bytes.
pub(super) fn with_sorted_header(file: Vec<u8>) -> Vec<u8> {
    let sorted = || {
        let (length, rest) = file.split_first_chunk::<8>()?;
        let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let header: serde_json::Value = serde_json::from_slice(header).ok()?;
        let mut header = header.to_string();
        // Tensors stay aligned to 8 bytes.
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let length = (header.len() as u64).to_le_bytes();
        Some([&length, header.as_bytes(), data].concat())
    };
    sorted().unwrap_or(file)
}
