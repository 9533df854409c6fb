use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::error::{Error, Result};

/// Image files below a path: in a folder or in a zip file.
#[derive(Debug)]
pub(super) enum Store {
    Folder,
    /// Open archives, one for each thread that reads at the same time.
    Zip {
        archive: PathBuf,
        open: Mutex<Vec<ZipArchive<fs::File>>>,
    },
}

impl Store {
    /// The store that holds `path`, and the images below it, sorted,
    /// by their names from there. A path may lead into a zip file
    /// (`cifar10.zip/cifar10/train`).
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] where the path cannot be read.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        let (store, names) = Self::list(path)?;
        let mut images: Vec<String> = names.into_iter().filter(|name| is_image(name)).collect();
        images.sort();
        Ok((store, images))
    }

    /// The same with all files below `path`, in no order.
    pub(super) fn list(path: &Path) -> Result<(Self, Vec<String>)> {
        Ok(match split_zip(path) {
            Some((archive, inner)) => {
                let zip = open_zip(&archive)?;
                let prefix = if inner.is_empty() { inner } else { format!("{inner}/") };
                let names: Vec<String> = zip
                    .file_names()
                    .flatten()
                    .filter_map(|name| name.strip_prefix(prefix.as_str()).map(str::to_owned))
                    .collect();
                (Self::Zip { archive, open: Mutex::new(vec![zip]) }, names)
            }
            None => {
                let mut names = Vec::new();
                walk(path, String::new(), &mut names)?;
                (Self::Folder, names)
            }
        })
    }

    /// The store that holds one file, whatever its ending; none where `path` is
    /// no file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn of_file(path: &Path) -> Result<Option<Self>> {
        let Some((archive, inner)) = split_zip(path) else {
            return Ok(path.is_file().then_some(Self::Folder));
        };
        let zip = open_zip(&archive)?;
        let holds = zip.file_names().flatten().any(|name| name == inner);
        Ok(holds.then(|| Self::Zip { archive, open: Mutex::new(vec![zip]) }))
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let Self::Zip { archive, open } = self else {
            return fs::read(path).map_err(|error| Error::io(path, error));
        };
        in_zip(archive, open, path, |file| {
            let mut bytes = Cursor::new(Vec::new());
            std::io::copy(&mut file.take(MAX_FILE), &mut bytes)?;
            Ok(bytes.into_inner())
        })
    }

    /// The size of a file in bytes, unpacked.
    pub(super) fn size(&self, path: &Path) -> Result<u64> {
        match self {
            Self::Folder => {
                fs::metadata(path).map(|file| file.len()).map_err(|error| Error::io(path, error))
            }
            Self::Zip { archive, open } => in_zip(archive, open, path, |file| Ok(file.size())),
        }
    }
}

/// What `look` finds in the file at `path`, which leads into `archive`.
fn in_zip<T>(
    archive: &Path,
    open: &Mutex<Vec<ZipArchive<fs::File>>>,
    path: &Path,
    look: impl FnOnce(&mut ZipFile<'_, fs::File>) -> std::io::Result<T>,
) -> Result<T> {
    let inner = path.strip_prefix(archive).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let free = open.lock().unwrap_or_else(|poison| poison.into_inner()).pop();
    let mut zip = match free {
        Some(zip) => zip,
        None => open_zip(archive)?,
    };
    let damaged = |reason: String| Error::data(path, format!("unreadable image ({reason})"));
    let found = zip
        .by_name(&inner)
        .map_err(|error| damaged(error.to_string()))
        .and_then(|mut file| look(&mut file).map_err(|error| damaged(error.to_string())));
    open.lock().unwrap_or_else(|poison| poison.into_inner()).push(zip);
    found
}

/// What the names of images end in.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// No single file is larger; stops a zip bomb.
const MAX_FILE: u64 = 256 << 20;

pub(super) fn is_image(name: &str) -> bool {
    let hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
    let extension = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    !hidden && ENDINGS.iter().any(|known| extension == *known)
}

/// The path of a zip file and the path inside it.
fn split_zip(path: &Path) -> Option<(PathBuf, String)> {
    path.ancestors()
        .find(|part| {
            part.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip")) && part.is_file()
        })
        .map(|archive| {
            let inner = path.strip_prefix(archive).unwrap_or(Path::new(""));
            (archive.to_owned(), inner.to_string_lossy().replace('\\', "/"))
        })
}

fn open_zip(path: &Path) -> Result<ZipArchive<fs::File>> {
    let file = fs::File::open(path).map_err(|error| Error::io(path, error))?;
    ZipArchive::new(file)
        .map_err(|error| Error::data(path, format!("not a readable zip file ({error})")))
}

fn walk(folder: &Path, prefix: String, names: &mut Vec<String>) -> Result<()> {
    let io = |error| Error::io(folder, error);
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
