//! What a teacher computes, in files that several runs share.

use std::fs;
use std::io::{Error as IoError, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::TensorData;
use sha2::{Digest, Sha256};

use crate::distill::TeacherCache;
use crate::weights::UNFINISHED;

/// The first bytes of a file; another form gets other ones.
const MAGIC: &[u8; 8] = b"singer-1";
const CHECKSUM: usize = 32;
/// Files written between two looks at how large the folder is by now: others write there too.
const LOOK_EVERY: u64 = 32;

/// A folder with one file for each tensor: `MAGIC`, SHA-256 of the rest, number of dimensions
/// and each of them as little-endian u64, values as little-endian f32. Runs beside each other
/// may use the same folder; a file appears whole or not at all, and damaged ones count as
/// missing. Where nothing can be written, or the folder has reached its limit, nothing is kept.
#[derive(Debug)]
pub(super) struct TeacherCacheFolder {
    folder: PathBuf,
    limit: u64,
    /// The teacher's state, which is part of every key.
    teacher: String,
    bytes: AtomicU64,
    written: AtomicU64,
}

impl TeacherCacheFolder {
    pub(super) fn new(folder: &Path, limit: u64, teacher: String) -> Self {
        // An unusable folder keeps nothing: a cache is no reason to fail.
        let _ = fs::create_dir_all(folder);
        let bytes = AtomicU64::new(size(folder));
        Self { folder: folder.to_owned(), limit, teacher, bytes, written: AtomicU64::new(0) }
    }

    fn path(&self, key: &str) -> PathBuf {
        let name = Sha256::new_with_prefix(&self.teacher).chain_update(key).finalize();
        self.folder.join(format!("{name:x}"))
    }

    /// Whether `more` bytes still fit.
    fn has_room(&self, more: u64) -> bool {
        if self.written.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY == LOOK_EVERY - 1 {
            self.bytes.store(size(&self.folder), Ordering::Relaxed);
        }
        let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
        if bytes > self.limit {
            self.bytes.fetch_sub(more, Ordering::Relaxed);
        }
        bytes <= self.limit
    }
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

impl TeacherCache for TeacherCacheFolder {
    fn get(&self, key: &str) -> Option<TensorData> {
        decode(&fs::read(self.path(key)).ok()?)
    }

    fn put(&self, key: &str, values: &TensorData) {
        let bytes = encode(values);
        if !self.has_room(bytes.len() as u64) {
            return;
        }
        // Not synced to the disk: what a crash damages is computed anew.
        let written = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder);
        let kept = written.and_then(|mut file| {
            file.write_all(&bytes)?;
            file.persist(self.path(key)).map_err(IoError::from)
        });
        if kept.is_err() {
            self.bytes.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

fn encode(values: &TensorData) -> Vec<u8> {
    let dims = values.shape().iter().map(|&side| side as u64);
    let numbers = std::iter::once(values.shape().len() as u64).chain(dims);
    let mut content: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    content.extend(values.iter::<f32>().flat_map(f32::to_le_bytes));
    [MAGIC.as_slice(), &Sha256::digest(&content), &content].concat()
}

/// The tensor of a file; none where it is not whole.
fn decode(file: &[u8]) -> Option<TensorData> {
    let (sum, content) = file.strip_prefix(MAGIC)?.split_at_checked(CHECKSUM)?;
    if Sha256::digest(content).as_slice() != sum {
        return None;
    }
    let number = |at: usize| {
        let bytes = content.get(8 * at..8 * at + 8)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let rank = number(0)?;
    let shape: Vec<usize> = (1..=rank).map(number).collect::<Option<_>>()?;
    let values = content.get(8 * (rank + 1)..)?.chunks_exact(4);
    let values: Vec<f32> = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
    (count == values.len()).then(|| TensorData::new(values, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> TensorData {
        TensorData::new(vec![1.5_f32, -0.0, f32::MIN_POSITIVE / 2.0, 3e38, 5.0, 6.0], [2, 3])
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
    }

    #[test]
    fn what_is_kept_comes_back_to_the_bit_and_belongs_to_one_teacher() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCacheFolder::new(folder.path(), 1 << 20, "a".into());
        assert!(cache.get("x").is_none());
        cache.put("x", &data());
        let found = TeacherCacheFolder::new(folder.path(), 1 << 20, "a".into()).get("x").unwrap();
        assert_eq!((found.as_bytes(), found.shape().to_vec()), (data().as_bytes(), vec![2, 3]));
        assert!(cache.get("y").is_none());
        assert!(TeacherCacheFolder::new(folder.path(), 1 << 20, "b".into()).get("x").is_none());
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_off_counts_as_missing() {
        let whole = encode(&data());
        assert!(decode(&whole).is_some());
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {place}");
            assert!(decode(&whole[..place]).is_none(), "{place} bytes");
        }
    }

    #[test]
    fn a_full_folder_takes_no_more_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let one = encode(&data()).len() as u64;
        let caches =
            [(); 2].map(|()| TeacherCacheFolder::new(folder.path(), 100 * one, "a".into()));
        for number in 0..400 {
            caches[number % 2].put(&number.to_string(), &data());
        }
        // Each looks at the folder every 32 files of its own.
        let kept = files(folder.path()).len() as u64;
        assert!((100 - LOOK_EVERY..=100 + LOOK_EVERY).contains(&kept), "{kept}");
        assert!(caches[0].get("0").is_some() && caches[0].get("399").is_none());
        let again = TeacherCacheFolder::new(folder.path(), one, "a".into());
        again.put("new", &data());
        assert!(again.get("new").is_none() && again.get("0").is_some());
    }
}
