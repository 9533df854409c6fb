use std::path::{Path, PathBuf};

use image::RgbImage;

use super::store::Store;
use super::{ImageSet, decode};
use crate::error::{Error, Result};

/// Images without classes: one file, or all JPEG and PNG files of a folder or a
/// zip file in any nesting.
#[derive(Debug)]
pub struct PictureSet {
    store: Store,
    paths: Vec<PathBuf>,
    classes: [String; 1],
}

impl PictureSet {
    /// Opens a file, a folder, a zip file, or a path inside a zip file. A single
    /// file is taken whatever its name ends in.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read; [`Error::Data`] where it
    /// holds no image.
    pub fn open(path: &Path) -> Result<Self> {
        let is_zip = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip"));
        let single = if is_zip { None } else { Store::of_file(path)? };
        let (store, paths) = match single {
            Some(store) => (store, vec![path.to_owned()]),
            None => {
                let (store, names) = Store::open(path)?;
                (store, names.iter().map(|name| path.join(name)).collect())
            }
        };
        if paths.is_empty() {
            return Err(Error::data(path, "holds no .jpg, .jpeg or .png file"));
        }
        Ok(Self { store, paths, classes: ["unlabelled".into()] })
    }
}

impl PictureSet {
    /// Where each image is.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The bytes of image `index`'s file.
    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        self.store.bytes(&self.paths[index])
    }
}

impl ImageSet for PictureSet {
    fn len(&self) -> usize {
        self.paths.len()
    }

    /// One, for all.
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.store.size(&self.paths[index]).map(Some)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let path = &self.paths[index];
        decode(&self.store.bytes(path)?, path)
    }
}
