use std::io::{self, Write};

use super::dtype::{Rounding, WeightDtype};
use super::tensors::LazyTensor;

/// The files of one export.
#[derive(Debug)]
pub(super) struct Package<'a> {
    /// In the order in which they are to be written: what says that the export
    /// is whole comes last.
    pub(super) files: Vec<ExportFile<'a>>,
    /// What the user should know, a line each.
    pub(super) notes: Vec<String>,
}

/// A file by its name and contents, the weights among them not read yet.
#[derive(Debug)]
pub(super) struct ExportFile<'a> {
    /// Without a folder.
    pub(super) name: String,
    chunks: Vec<Chunk<'a>>,
}

#[derive(Debug)]
enum Chunk<'a> {
    Bytes(Vec<u8>),
    Tensor { name: String, part: LazyTensor<'a>, dtype: WeightDtype },
}

impl<'a> ExportFile<'a> {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), chunks: Vec::new() }
    }

    pub(super) fn text(name: impl Into<String>, text: String) -> Self {
        let mut file = Self::new(name);
        file.push(text.into_bytes());
        file
    }

    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.chunks.push(Chunk::Bytes(bytes));
    }

    pub(super) fn push_tensor(&mut self, name: &str, part: LazyTensor<'a>, dtype: WeightDtype) {
        self.chunks.push(Chunk::Tensor { name: name.to_owned(), part, dtype });
    }

    /// The file's length in bytes.
    pub(super) fn size(&self) -> u64 {
        let sizes = self.chunks.iter().map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.len() as u64,
            Chunk::Tensor { part, dtype, .. } => (part.count() * dtype.size()) as u64,
        });
        sizes.sum()
    }

    /// Writes the file, one tensor in memory at a time, and adds to `rounding`
    /// what the weights' type could not hold.
    ///
    /// # Errors
    /// Those of `out`, and of a device that can no longer be read.
    pub(super) fn write(&self, out: &mut dyn Write, rounding: &mut Rounding) -> io::Result<()> {
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes) => out.write_all(bytes)?,
                Chunk::Tensor { name, part, dtype } => {
                    let reason = |reason| io::Error::other(format!("{name}: {reason}"));
                    let values = part.values().map_err(reason)?;
                    if values.len() != part.count() {
                        return Err(reason(format!("has {} values", values.len())));
                    }
                    out.write_all(&dtype.encode(name, &values, rounding))?;
                }
            }
        }
        Ok(())
    }
}
