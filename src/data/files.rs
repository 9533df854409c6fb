use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::store::Store;
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

impl FileSet {
    /// Opens a tree. A path may lead into a zip file
    /// (`cifar10.zip/cifar10/train`). Folders that hold nothing but one other
    /// folder are stepped into.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read; [`Error::Data`] where there
    /// are no images or fewer than two classes.
    pub fn open(path: &Path) -> Result<Self> {
        let (store, images) = Store::open(path)?;
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
}

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

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.store.size(&self.root.join(&self.files[index].0)).map(Some)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let path = self.root.join(&self.files[index].0);
        decode(&self.store.bytes(&path)?, &path)
    }
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
