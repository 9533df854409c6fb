use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use image::RgbImage;
use zip::ZipArchive;

use super::{ImageSet, decode};
use crate::error::{Error, Result};

/// A folder-per-class tree of JPEG and PNG files, or a zip file of one.
#[derive(Debug)]
pub struct FileSet {
    root: PathBuf,
    store: Store,
    classes: Vec<String>,
    files: Vec<(String, usize)>,
}

#[derive(Debug)]
enum Store {
    Folder,
    /// Open archives, one for each thread that reads at the same time.
    Zip {
        archive: PathBuf,
        open: Mutex<Vec<ZipArchive<fs::File>>>,
    },
}

impl FileSet {
    /// Opens a tree. A path may lead into a zip file
    /// (`cifar10.zip/cifar10/train`). Folders that hold nothing but one other
    /// folder are stepped into.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read; [`Error::Data`] where there
    /// are no images or fewer than two classes.
    pub fn open(path: &Path) -> Result<Self> {
        let (store, names) = match split_zip(path) {
            Some((archive, inner)) => {
                let zip = open_zip(&archive)?;
                let prefix = if inner.is_empty() { inner } else { format!("{inner}/") };
                let names = zip
                    .file_names()
                    .flatten()
                    .filter_map(|name| name.strip_prefix(prefix.as_str()).map(str::to_owned))
                    .collect();
                (Store::Zip { archive, open: Mutex::new(vec![zip]) }, names)
            }
            None => {
                let mut names = Vec::new();
                walk(path, String::new(), &mut names)?;
                (Store::Folder, names)
            }
        };
        let mut images: Vec<String> = names.into_iter().filter(|name| is_image(name)).collect();
        images.sort();
        let skipped = shared_folders(&images);
        let root = path.join(&skipped);
        if images.is_empty() {
            return Err(Error::data(
                path,
                "holds no .jpg, .jpeg or .png file; give a folder with one folder of images for each class",
            ));
        }
        let mut by_class: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in images {
            let name = name[skipped.len()..].trim_start_matches('/').to_owned();
            if let Some((class, _)) = name.split_once('/') {
                by_class.entry(class.to_owned()).or_default().push(name);
            }
        }
        if by_class.len() < 2 {
            return Err(Error::data(
                &root,
                format!(
                    "holds {} class folder(s); at least two are needed, each with the images of one class",
                    by_class.len()
                ),
            ));
        }
        let classes: Vec<String> = by_class.keys().cloned().collect();
        let files = by_class
            .into_values()
            .enumerate()
            .flat_map(|(class, names)| names.into_iter().map(move |name| (name, class)))
            .collect();
        Ok(Self { root, store, classes, files })
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.root.join(name);
        let Store::Zip { archive, open } = &self.store else {
            return fs::read(&path).map_err(|error| Error::io(&path, error));
        };
        let inner =
            path.strip_prefix(archive).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let free = open.lock().unwrap_or_else(|poison| poison.into_inner()).pop();
        let mut zip = match free {
            Some(zip) => zip,
            None => open_zip(archive)?,
        };
        let damaged = |reason: String| Error::data(&path, format!("unreadable image ({reason})"));
        let mut bytes = Cursor::new(Vec::new());
        let found =
            zip.by_name(&inner).map_err(|error| damaged(error.to_string())).and_then(|mut file| {
                std::io::copy(&mut file.by_ref().take(MAX_FILE), &mut bytes)
                    .map_err(|error| damaged(error.to_string()))
            });
        open.lock().unwrap_or_else(|poison| poison.into_inner()).push(zip);
        found.map(|_| bytes.into_inner())
    }
}

/// No single image file is larger; stops a zip bomb.
const MAX_FILE: u64 = 256 << 20;

impl ImageSet for FileSet {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn name(&self, index: usize) -> String {
        self.root.join(&self.files[index].0).display().to_string()
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let name = &self.files[index].0;
        decode(&self.bytes(name)?, &self.root.join(name))
    }
}

fn is_image(name: &str) -> bool {
    let hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
    let extension = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    !hidden && ["jpg", "jpeg", "png"].iter().any(|known| extension == *known)
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

/// The folders that every image shares, where each has no sibling.
fn shared_folders(images: &[String]) -> String {
    let (Some(first), Some(last)) = (images.first(), images.last()) else {
        return String::new();
    };
    // The names are sorted, so what the first and last share, all share.
    let folders = |name: &'_ str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let (Some(first), Some(last)) = (folders(first), folders(last)) else {
        return String::new();
    };
    let shared: Vec<&str> =
        first.split('/').zip(last.split('/')).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let all = shared.len() == first.split('/').count() && first == last;
    // One class only: its folder is a class, not a step on the way.
    let keep = if all { shared.len().saturating_sub(1) } else { shared.len() };
    shared[..keep].join("/")
}
