//! Images in files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use super::decode::{decode_within, dimensions};
use super::files::{READ, Store, Tree};
use super::image_set::{ImageSet, ImageSource};
use super::place::Split;
use super::resample::MAX_PIXELS;
use crate::error::{Error, Result};

/// Image files in one folder or archive, with or without labels.
#[derive(Debug, Clone)]
pub(super) struct FileSet {
    root: PathBuf,
    store: Arc<Store>,
    classes: Vec<String>,
    /// Names from the root, with their labels; 0 where there are no classes.
    files: Arc<Vec<(String, usize)>>,
    /// The most pixels of one.
    max_pixels: u64,
    /// How many files beside them are images that cannot be read, by ending.
    left_out: BTreeMap<String, usize>,
}

impl FileSet {
    fn new(
        root: &Path,
        store: Arc<Store>,
        files: Vec<(String, usize)>,
        classes: Vec<String>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            store,
            classes,
            files: Arc::new(files),
            max_pixels: MAX_PIXELS,
            left_out: BTreeMap::new(),
        }
    }

    /// Files of a tree with their labels.
    fn labelled(tree: &Tree, files: Vec<(String, usize)>, classes: Vec<String>) -> Self {
        Self::new(tree.root(), Arc::clone(tree.store()), files, classes)
    }

    /// Files of the file system by their paths from `root`, with their labels; `odd` are the
    /// paths of those whose names are no text, by the path with the name as text.
    pub(super) fn listed(
        root: &Path,
        odd: HashMap<PathBuf, PathBuf>,
        files: Vec<(String, usize)>,
        classes: Vec<String>,
    ) -> Self {
        Self::new(root, Arc::new(Store::Folder(odd)), files, classes)
    }

    /// The same set, beside which there are images that cannot be read.
    pub(super) fn beside(self, left_out: BTreeMap<String, usize>) -> Self {
        Self { left_out, ..self }
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

    /// One image file, whatever its name ends in, also inside an archive. None where the
    /// path is not a file, or is an archive.
    pub(super) fn single(path: &Path) -> Result<Option<Self>> {
        let Some((store, name)) = Store::of_file(path)? else { return Ok(None) };
        let root = path.parent().unwrap_or(Path::new(""));
        Ok(Some(Self::new(root, Arc::new(store), vec![(name, 0)], Vec::new())))
    }

    /// One image file, or all image files below a folder or in an archive, without
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
        let left_out = tree.left_out(&[String::new()]);
        if names.is_empty() {
            return Err(no_images(path, &left_out));
        }
        Ok(Self::unlabelled(&tree, names).beside(left_out))
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

    fn left_out(&self) -> BTreeMap<String, usize> {
        self.left_out.clone()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.store.size(&self.path(index)).map(Some)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let path = self.path(index);
        decode_within(&self.store.bytes(&path)?, &path, self.max_pixels)
    }

    fn limited_to(&self, pixels: u64) -> Option<ImageSet> {
        Some(ImageSet::new(Self { max_pixels: pixels, ..self.clone() }))
    }
}

/// The error for a place without images that can be read.
pub(super) fn no_images(path: &Path, left_out: &BTreeMap<String, usize>) -> Error {
    let others: Vec<String> =
        left_out.iter().map(|(end, count)| format!("{count} {end}")).collect();
    let others = match others.as_slice() {
        [] => String::new(),
        kinds => format!(" but {}, which cannot be read", kinds.join(", ")),
    };
    Error::data(path, format!("holds no {READ}{others}"))
}
