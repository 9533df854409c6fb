use std::fs;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// The prefix of files that are still being written.
pub(crate) const UNFINISHED: &str = ".singer-unfinished-";

/// Removes unfinished files that killed processes left in a folder.
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

/// Writes a file so that at any moment, even after a crash, either the old or the new
/// one is there, whole.
///
/// # Errors
/// [`Error::Io`]; the old file stays and no temporary one does.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stream_atomically(path, |out| out.write_all(bytes))
}

/// As [`write_atomically`], with content that `write` writes piece by piece.
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
        ErrorKind::StorageFull => Error::DiskFull { path: path.to_owned() },
        _ => Error::io(path, error),
    })
}
