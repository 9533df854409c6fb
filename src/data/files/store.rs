//! What holds files: the file system, or an archive.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::archives::{Tar, Zip};
use super::names::{readable, slashed};
use super::walk::Listing;
use crate::error::{Error, Result};

/// What holds files.
#[derive(Debug)]
pub(in crate::data) enum Store {
    /// The file system, with the paths of files whose names are no text, by the path with
    /// the name as text.
    Folder(HashMap<PathBuf, PathBuf>),
    Zip(Zip),
    Tar(Tar),
}

impl Store {
    /// The store that holds `path`, and the names of all files below it, in no order.
    /// A path may lead into an archive (`cifar10.zip/cifar10/train`).
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] where the path cannot be read.
    pub(super) fn list(path: &Path) -> Result<(Self, Vec<String>)> {
        let Some((archive, inner)) = Archive::split(path)? else {
            let listing = Listing::of(path)?;
            return Ok((Self::Folder(listing.odd), listing.names));
        };
        let (store, mut names) = archive.open()?;
        if !inner.is_empty() {
            let prefix = format!("{inner}/");
            let below = names.iter().filter_map(|name| name.strip_prefix(&prefix));
            names = below.map(str::to_owned).collect();
        }
        Ok((store, names))
    }

    /// The store of one file, whatever its extension, and its name as text; none where
    /// `path` is no file or is an archive.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(in crate::data) fn of_file(path: &Path) -> Result<Option<(Self, String)>> {
        let own = path.file_name().unwrap_or_default();
        let name = readable(own.as_encoded_bytes());
        let Some((archive, inner)) = Archive::split(path)? else {
            let parent = path.parent().unwrap_or(Path::new(""));
            let odd = (own.to_str() != Some(&name)).then(|| (parent.join(&name), path.to_owned()));
            return Ok(path.is_file().then(|| (Self::Folder(odd.into_iter().collect()), name)));
        };
        if inner.is_empty() {
            return Ok(None);
        }
        let (store, names) = archive.open()?;
        Ok(names.contains(&inner).then_some((store, name)))
    }

    /// The bytes of a file.
    pub(in crate::data) fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Folder(odd) => {
                let path = odd.get(path).map_or(path, PathBuf::as_path);
                // Opening a pipe would wait for who writes to it.
                let kind = fs::metadata(path).map_err(|error| Error::io(path, error))?;
                if !kind.is_file() {
                    return Err(Error::data(path, "is no file"));
                }
                fs::read(path).map_err(|error| Error::io(path, error))
            }
            Self::Zip(zip) => zip.bytes(path),
            Self::Tar(tar) => tar.bytes(path),
        }
    }

    /// The size of a file in bytes, unpacked.
    pub(in crate::data) fn size(&self, path: &Path) -> Result<u64> {
        match self {
            Self::Folder(odd) => {
                let path = odd.get(path).map_or(path, PathBuf::as_path);
                fs::metadata(path).map(|file| file.len()).map_err(|error| Error::io(path, error))
            }
            Self::Zip(zip) => zip.size(path),
            Self::Tar(tar) => tar.size(path),
        }
    }
}

/// An archive whose files are read in place.
enum Archive {
    Zip(PathBuf),
    Tar(PathBuf),
}

/// Ends of the names of compressed tar files, in which nothing can be found by its place.
const COMPRESSED: [&str; 11] = [
    ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz4",
    ".tar.z", ".tar.br",
];

/// Whether a path is that of a file which is read as a folder.
pub(in crate::data) fn is_archive(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default();
    (end.eq_ignore_ascii_case("zip") || end.eq_ignore_ascii_case("tar")) && path.is_file()
}

impl Archive {
    /// The archive that a path names or leads into, and the rest of the path.
    fn split(path: &Path) -> Result<Option<(Self, String)>> {
        for part in path.ancestors() {
            let name = part.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            let open: fn(PathBuf) -> Self = match Path::new(&name).extension() {
                Some(end) if end == "zip" => Self::Zip,
                Some(end) if end == "tar" => Self::Tar,
                _ if COMPRESSED.iter().any(|end| name.ends_with(end)) && part.is_file() => {
                    return Err(Error::data(
                        part,
                        "is a compressed tar file, which can only be read from start to end; decompress it to a .tar, or unpack it",
                    ));
                }
                _ => continue,
            };
            if part.is_file() {
                let inner = path.strip_prefix(part).unwrap_or(Path::new(""));
                let inner = readable(inner.as_os_str().as_encoded_bytes());
                return Ok(Some((open(part.to_owned()), slashed(&inner).into_owned())));
            }
        }
        Ok(None)
    }

    /// The archive with the names of its files.
    fn open(self) -> Result<(Store, Vec<String>)> {
        Ok(match self {
            Self::Zip(path) => {
                let (zip, names) = Zip::open(path)?;
                (Store::Zip(zip), names)
            }
            Self::Tar(path) => {
                let tar = Tar::open(path)?;
                let names = tar.names().map(str::to_owned).collect();
                (Store::Tar(tar), names)
            }
        })
    }
}
