use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry};

use super::{Handles, MAX_FILE, inner_name, unreadable};
use crate::data::files::names::{is_image, readable};
use crate::error::{Error, Result};

/// A tar file that is not compressed.
#[derive(Debug)]
pub(in crate::data) struct Tar {
    path: PathBuf,
    open: Handles<File>,
    /// Sorted by name.
    files: Vec<Member>,
}

/// A file in a tar file.
#[derive(Debug)]
struct Member {
    name: Box<str>,
    /// Where its bytes begin.
    start: u64,
    size: u64,
}

impl Tar {
    /// Opens a tar file and lists its files by their headers; links in it are passed over.
    /// Of files of one name the last counts, as in unpacking.
    pub(in crate::data::files) fn open(path: PathBuf) -> Result<Self> {
        let io = |error| Error::io(&path, error);
        let damaged =
            |reason: String| Error::data(&path, format!("not a readable tar file ({reason})"));
        let mut file = File::open(&path).map_err(io)?;
        let end = file.seek(SeekFrom::End(0)).map_err(io)?;
        file.rewind().map_err(io)?;
        let mut archive = Archive::new(file);
        let mut files = Vec::new();
        let entries = archive.entries_with_seek().map_err(|error| damaged(error.to_string()))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
            let name = readable(&entry.path_bytes());
            let name = name.trim_start_matches("./").trim_start_matches('/');
            let sparse = is_sparse(&mut entry).map_err(|error| damaged(error.to_string()))?;
            if sparse && is_image(name) {
                return Err(Error::data(
                    &path,
                    format!("holds {name} as a sparse file; pack it without --sparse"),
                ));
            }
            let kind = entry.header().entry_type();
            if sparse || !(kind.is_file() || kind.is_contiguous()) {
                continue;
            }
            let (start, size) = (entry.raw_file_position(), entry.size());
            if start.checked_add(size).is_none_or(|last| last > end) {
                return Err(damaged(format!("it ends within {name}")));
            }
            files.push(Member { name: name.into(), start, size });
        }
        // Reversed, so that the last of a name comes first and is kept.
        files.reverse();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        Ok(Self { open: Handles::new(archive.into_inner()), path, files })
    }

    pub(in crate::data::files) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &*file.name)
    }

    pub(in crate::data::files) fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let &Member { start, size, .. } = self.member(path)?;
        if size > MAX_FILE {
            return Err(unreadable(path, format!("it has {size} bytes; {MAX_FILE} are read")));
        }
        let read = |file: &mut File| {
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = vec![0; size as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let open = || File::open(&self.path).map_err(|error| Error::io(&self.path, error));
        self.open.with(open, read)?.map_err(|error: std::io::Error| unreadable(path, error))
    }

    pub(in crate::data::files) fn size(&self, path: &Path) -> Result<u64> {
        self.member(path).map(|member| member.size)
    }

    fn member(&self, path: &Path) -> Result<&Member> {
        let name = inner_name(&self.path, path);
        let place = self.files.binary_search_by(|file| (*file.name).cmp(&name));
        let place = place.map_err(|_| unreadable(path, "it is not in the tar file"))?;
        Ok(&self.files[place])
    }
}

/// Whether a file is stored without its empty parts, as GNU tar does in two ways.
fn is_sparse<R: Read>(entry: &mut Entry<'_, R>) -> std::io::Result<bool> {
    if entry.header().entry_type().is_gnu_sparse() {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
    let mut keys = extensions.flatten().map(|extension| extension.key_bytes());
    Ok(keys.any(|key| key.starts_with(b"GNU.sparse.")))
}
