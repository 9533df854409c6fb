//! Files in a folder or in a zip file: listed once, read by name.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::place::Split;
use crate::error::{Error, Result};

/// The names of all files below a folder or in a zip file, sorted.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    store: Arc<Store>,
    names: Vec<String>,
}

impl Tree {
    /// Lists a folder, a zip file or a folder inside one.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] where it cannot be read.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let (store, mut names) = Store::list(root)?;
        names.sort_unstable();
        Ok(Self { root: root.to_owned(), store: Arc::new(store), names })
    }

    /// The outermost folder that holds one of `marks`: a file, or, with a slash at its
    /// end, a folder. `wanted` describes in a message what was expected.
    pub(super) fn inside(&self, marks: &[&str], wanted: &str) -> Result<Self> {
        let depth = |name: &str, mark: &str| -> Option<usize> {
            let fits = |at: usize| {
                let rest = &name[at..];
                rest == mark || (mark.ends_with('/') && rest.starts_with(mark))
            };
            let starts = name.match_indices('/').map(|(at, _)| at + 1);
            std::iter::once(0).chain(starts).find(|&at| fits(at))
        };
        let places = self.names.iter().flat_map(|name| {
            marks.iter().filter_map(move |mark| depth(name, mark).map(|at| &name[..at]))
        });
        let Some(place) = places.min_by_key(|place| place.len()).map(str::to_owned) else {
            return Err(Error::data(
                &self.root,
                format!("holds no {}; give the folder of {wanted}", marks.join(" and no ")),
            ));
        };
        let inner = self.names.iter().filter_map(|name| name.strip_prefix(&place));
        Ok(Self {
            root: if place.is_empty() { self.root.clone() } else { self.root.join(&place) },
            store: Arc::clone(&self.store),
            names: inner.map(str::to_owned).collect(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    /// The images below a folder, which ends in a slash; all for the empty name.
    pub(super) fn images<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let first = self.names.partition_point(|name| name.as_str() < folder);
        let below = self.names[first..].iter().take_while(move |name| name.starts_with(folder));
        below.map(String::as_str).filter(|name| is_image(name))
    }

    /// The folders of a split below `above` (which ends in a slash or is empty), each with
    /// a slash at its end. Empty where none has a split's name.
    pub(super) fn split_folders(&self, above: &str, split: Split) -> Vec<String> {
        let names = split.folders().iter().filter_map(|names| {
            let folders = names.iter().map(|name| format!("{above}{name}/"));
            folders.into_iter().find(|folder| self.images(folder).next().is_some())
        });
        names.collect()
    }

    /// The folders that all images share, each the only one in its parent.
    pub(super) fn shared_folders(&self) -> String {
        let images: Vec<&str> = self.images("").collect();
        let (Some(first), Some(last)) = (images.first(), images.last()) else {
            return String::new();
        };
        // The names are sorted, so what the first and last share, all share.
        let folders = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let (Some(first), Some(last)) = (folders(first), folders(last)) else {
            return String::new();
        };
        let shared: Vec<&str> = first
            .split('/')
            .zip(last.split('/'))
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a)
            .collect();
        let all = shared.len() == first.split('/').count() && first == last;
        // One class only: its folder is a class, not a step on the way.
        let keep = if all { shared.len().saturating_sub(1) } else { shared.len() };
        shared[..keep].join("/")
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        if !self.has(name) {
            return Err(Error::data(self.path(name), "is missing"));
        }
        self.store.bytes(&self.path(name))
    }

    /// The lines of a text file that are not empty, trimmed, with their numbers from 1.
    pub(super) fn lines(&self, name: &str) -> Result<Vec<(usize, String)>> {
        let bytes = self.bytes(name)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::data(self.path(name), "is no text file"))?;
        let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_owned()));
        Ok(numbered.filter(|(_, line)| !line.is_empty()).collect())
    }

    /// Fails where a file that `list` names is missing.
    pub(super) fn require(&self, name: &str, list: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(Error::data(
            self.path(name),
            format!("is missing, but {list} lists it; unpack the set again"),
        ))
    }
}

/// What holds files: a folder or a zip file.
#[derive(Debug)]
pub(super) enum Store {
    Folder,
    /// Open archives, one for each thread that reads concurrently.
    Zip {
        archive: PathBuf,
        open: Mutex<Vec<ZipArchive<fs::File>>>,
    },
}

impl Store {
    /// The store that holds `path`, and the names of all files below it, in no order.
    /// A path may lead into a zip file (`cifar10.zip/cifar10/train`).
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] where the path cannot be read.
    fn list(path: &Path) -> Result<(Self, Vec<String>)> {
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

    /// The store of one file, whatever its extension; none where `path` is not a file.
    ///
    /// # Errors
    /// As [`list`](Self::list).
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

/// The result of `look` for the file at `path`, which leads into `archive`.
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

/// Extensions of image files.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// The most bytes of one file; a larger one may be a zip bomb.
const MAX_FILE: u64 = 256 << 20;

/// Whether a file of this name is a visible image.
fn is_image(name: &str) -> bool {
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
        // Most file systems state the kind in the listing itself; only a link needs a look.
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
            walk(&entry.path(), format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
