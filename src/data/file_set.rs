//! Images in files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use super::decode::{decode, dimensions};
use super::files::{Store, Tree};
use super::image_set::ImageSource;
use super::place::Split;
use crate::error::{Error, Result};

/// Image files in one folder or zip file, with or without labels.
#[derive(Debug)]
pub(super) struct FileSet {
    root: PathBuf,
    store: Arc<Store>,
    classes: Vec<String>,
    /// Names from the root, with their labels; 0 where there are no classes.
    files: Vec<(String, usize)>,
}

impl FileSet {
    /// Files of a tree with their labels.
    fn labelled(tree: &Tree, files: Vec<(String, usize)>, classes: Vec<String>) -> Self {
        Self { root: tree.root().to_owned(), store: Arc::clone(tree.store()), classes, files }
    }

    /// A set from images with the name of their class. The classes are `classes` in that
    /// order, or those that occur, sorted.
    pub(super) fn named(
        tree: &Tree,
        files: Vec<(String, String)>,
        classes: Option<Vec<String>>,
        split: Split,
    ) -> Result<Self> {
        let classes = classes.unwrap_or_else(|| {
            let all: BTreeSet<&String> = files.iter().map(|(_, class)| class).collect();
            all.into_iter().cloned().collect()
        });
        let places: BTreeMap<&str, usize> =
            classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
        let labelled = files.into_iter().map(|(file, class)| match places.get(class.as_str()) {
            Some(&label) => Ok((file, label)),
            None => Err(Error::data(
                tree.path(&file),
                format!("is of `{class}`, which is no class of this set"),
            )),
        });
        let files = labelled.collect::<Result<Vec<_>>>()?;
        Self::checked(tree, files, classes, split)
    }

    /// A set of these files, checked to hold images of at least two classes.
    pub(super) fn checked(
        tree: &Tree,
        files: Vec<(String, usize)>,
        classes: Vec<String>,
        split: Split,
    ) -> Result<Self> {
        if files.is_empty() {
            return Err(Error::data(tree.root(), format!("has no images in the {split} split")));
        }
        if classes.len() < 2 {
            return Err(Error::data(
                tree.root(),
                format!("has {} class(es); two are needed", classes.len()),
            ));
        }
        Ok(Self::labelled(tree, files, classes))
    }

    /// Files of a tree without labels.
    pub(super) fn unlabelled(tree: &Tree, files: Vec<String>) -> Self {
        Self::labelled(tree, files.into_iter().map(|name| (name, 0)).collect(), Vec::new())
    }

    /// One image file, whatever its name ends in, also inside a zip file. None where
    /// the path is not a file, or is a zip file.
    pub(super) fn single(path: &Path) -> Result<Option<Self>> {
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip")) {
            return Ok(None);
        }
        let Some(store) = Store::of_file(path)? else { return Ok(None) };
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { root, store: Arc::new(store), classes: Vec::new(), files: vec![(name, 0)] }))
    }

    /// One image file, or all image files below a folder or in a zip file, without
    /// labels.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read; [`Error::Data`] where it holds no
    /// image.
    pub(super) fn all(path: &Path) -> Result<Self> {
        if let Some(file) = Self::single(path)? {
            return Ok(file);
        }
        let tree = Tree::open(path)?;
        let names: Vec<String> = tree.images("").map(str::to_owned).collect();
        if names.is_empty() {
            return Err(Error::data(path, "holds no .jpg, .png, .webp, .bmp or .gif file"));
        }
        Ok(Self::unlabelled(&tree, names))
    }

    /// Path of image `index`.
    pub(super) fn path(&self, index: usize) -> PathBuf {
        self.root.join(&self.files[index].0)
    }

    /// Height and width of image `index`, upright, from its header.
    pub(super) fn size(&self, index: usize) -> Result<[usize; 2]> {
        let path = self.path(index);
        dimensions(&self.store.bytes(&path)?, &path)
    }
}

impl ImageSource for FileSet {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<usize> {
        let label = self.files[index].1;
        (!self.classes.is_empty()).then_some(label)
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.store.size(&self.path(index)).map(Some)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let path = self.path(index);
        decode(&self.store.bytes(&path)?, &path)
    }
}
