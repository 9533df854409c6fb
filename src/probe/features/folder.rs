use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::key::{Key, hex};
use super::store::Gaps;
use crate::error::{Error, Result};
use crate::weights::{NamedTensors, write_atomically};

/// Written last: a folder without it is incomplete.
const INDEX: &str = "index.json";

/// Index of a folder of features.
#[derive(Serialize, Deserialize)]
struct Index {
    /// Everything that determines the features.
    key: Value,
    /// Images in each chunk but the last.
    per_chunk: usize,
    /// SHA-256 of each chunk's file.
    chunks: Vec<String>,
    /// The images without features.
    #[serde(default)]
    gaps: Gaps,
}

fn chunk_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:05}.safetensors"))
}

/// The chunk files of a complete and intact folder of these features, the number of images in
/// each, and the images that have none; none where there is no such folder.
pub(super) fn whole(folder: &Path, key: &Key) -> Option<(Vec<PathBuf>, usize, Gaps)> {
    let text = fs::read(folder.join(INDEX)).ok()?;
    let index: Index = serde_json::from_slice(&text).ok()?;
    if index.key != key.description || index.per_chunk == 0 {
        return None;
    }
    let intact = |(number, hash): (usize, &String)| {
        let path = chunk_path(folder, number);
        (file_hash(&path).ok().as_ref() == Some(hash)).then_some(path)
    };
    let paths: Option<Vec<PathBuf>> =
        index.chunks.par_iter().enumerate().map(intact).collect::<Vec<_>>().into_iter().collect();
    Some((paths?, index.per_chunk, index.gaps))
}

fn file_hash(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(hash))
}

/// Writes a folder of features.
pub(super) struct Writer<'a> {
    folder: &'a Path,
    key: &'a Key,
    per_chunk: usize,
    paths: Vec<PathBuf>,
}

impl<'a> Writer<'a> {
    /// Starts from scratch. Two programs may write the same folder at once: they write the
    /// same files, each replaced atomically.
    pub(super) fn begin(folder: &'a Path, key: &'a Key, per_chunk: usize) -> Result<Self> {
        let unusable =
            |source: std::io::Error| Error::FeatureCache { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        match fs::remove_file(folder.join(INDEX)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unusable(error));
            }
            _ => {}
        }
        Ok(Self { folder, key, per_chunk, paths: Vec::new() })
    }

    pub(super) fn chunk(&mut self, tensors: &NamedTensors) -> Result<()> {
        let path = chunk_path(self.folder, self.paths.len());
        tensors.write(&path)?;
        self.paths.push(path);
        Ok(())
    }

    /// Writes the index, which completes the folder.
    pub(super) fn finish(self, gaps: &Gaps) -> Result<Vec<PathBuf>> {
        let hash = |path: &PathBuf| file_hash(path).map_err(|error| Error::io(path, error));
        let chunks = self.paths.iter().map(hash).collect::<Result<_>>()?;
        let (key, per_chunk) = (self.key.description.clone(), self.per_chunk);
        let index = Index { key, per_chunk, chunks, gaps: gaps.clone() };
        let text = serde_json::to_vec_pretty(&index).unwrap_or_default();
        write_atomically(&self.folder.join(INDEX), &text)?;
        Ok(self.paths)
    }
}
