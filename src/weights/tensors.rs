use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

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
    pub fn write(&self, path: &Path) -> Result<()> {
        let other = |error: String| Error::io(path, std::io::Error::other(error));
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
            .map_err(|error| other(error.to_string()))?;
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        let bytes = serialize(views, metadata).map_err(|error| other(error.to_string()))?;
        write_atomically(path, &with_sorted_header(bytes))
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

/// How the names of files begin that are still being written.
pub(crate) const UNFINISHED: &str = ".singer-unfinished-";

/// Removes what processes that were killed while writing have left in a folder.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    let io = |error| Error::io(folder, error);
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// Writes a file so that at any moment either the old or the new one is there,
/// whole, also after a crash.
///
/// # Errors
/// [`Error::Io`]; the old file stays and no temporary one does.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stream_atomically(path, |out| out.write_all(bytes))
}

/// As [`write_atomically`], of contents that `write` gives piece by piece; its
/// error leaves the old file in place as well.
///
/// # Errors
/// [`Error::Io`]; the old file stays and no temporary one does.
pub fn stream_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let persist = || {
        let mut builder = tempfile::Builder::new();
        // Readable as any new file is; temporary ones are private by default.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(UNFINISHED).tempfile_in(folder)?;
        let mut buffered = BufWriter::new(file.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The rename itself is durable once the folder is.
        #[cfg(unix)]
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    };
    persist().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::StorageFull => Error::io(
            path,
            std::io::Error::new(
                ErrorKind::StorageFull,
                "the disk is full; free some space (a run goes on with --resume)",
            ),
        ),
        _ => Error::io(path, error),
    })
}
