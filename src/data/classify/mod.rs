//! Labelled images in the layouts that common data sets are published in.

mod imagenet;
mod inaturalist;
mod lists;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::place::{kind, scenes};
use super::tree::Tree;
use super::{FileSet, SharedImages, Split};
use crate::error::{Error, Result};

/// Labelled images and, for some sets, which of the classes they are of.
#[derive(Clone)]
pub struct ClassifySet {
    images: SharedImages,
    subset: Option<Vec<usize>>,
}

type Reader = fn(Tree, Split) -> Result<FileSet>;

/// The layouts by the word before the colon.
const LAYOUTS: [(&str, Reader); 10] = [
    ("imagenet", imagenet::open),
    ("imagenet-r", imagenet::open_renditions),
    ("imagenet-v2", imagenet::open_v2),
    ("inat2019", inaturalist::open),
    ("aircraft", lists::aircraft),
    ("pets", lists::pets),
    ("food101", lists::food101),
    ("flowers102", lists::flowers102),
    ("cifar10", split_folders),
    ("folders", split_folders),
];

impl ClassifySet {
    /// Opens a part of a set and checks that every listed image is there:
    ///
    /// - `imagenet:PATH`, ImageNet-1k: `train/` and `val/` as folders for each class,
    ///   or `val/` flat with `val.txt`, the development kit or the files of the
    ///   competition's own archive;
    /// - `imagenet-r:PATH` and `imagenet-v2:PATH`, labelled by ImageNet's 1000 classes;
    /// - `inat2019:PATH` (`train2019.json`, …), `aircraft:PATH` (FGVC-Aircraft, variants),
    ///   `pets:PATH` (Oxford-IIIT Pet, 37 breeds), `food101:PATH`, `flowers102:PATH`;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes of `side` pixels;
    /// - a plain path, `cifar10:PATH` or `folders:PATH`: a folder for each class, below
    ///   folders called `train`, `val` or `test` where there are such.
    ///
    /// A path may be a zip file or lead into one; the set may lie deeper below it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`] with the file's name where something is missing,
    /// damaged or out of range, and [`Error::Config`] for scenes that cannot be.
    pub fn open(place: &str, split: Split, side: usize) -> Result<Self> {
        if let Some(scenes) = scenes(place, split, side)? {
            return Ok(Self { images: Arc::new(scenes), subset: None });
        }
        let found = LAYOUTS
            .iter()
            .find_map(|(name, read)| kind(place, &[name]).map(|(_, path)| (read, path)));
        let set = match found {
            Some((read, path)) => read(Tree::open(path)?, split)?,
            None => plain(Path::new(place), split)?,
        };
        let subset = subset(&set);
        Ok(Self { images: Arc::new(set), subset })
    }

    /// Whether a place is not a plain path but begins with a layout's name.
    pub fn is_layout(place: &str) -> bool {
        kind(place, &LAYOUTS.map(|(name, _)| name)).is_some()
    }

    /// The images with their labels.
    pub fn images(&self) -> SharedImages {
        self.images.clone()
    }

    /// The classes that occur, in order, where some do not: what a head's answers
    /// should be restricted to, as for ImageNet-R.
    pub fn subset(&self) -> Option<&[usize]> {
        self.subset.as_deref()
    }
}

fn subset(set: &FileSet) -> Option<Vec<usize>> {
    use super::ImageSet;
    let used: BTreeSet<usize> = (0..set.len()).map(|index| set.label(index)).collect();
    (used.len() < set.classes().len()).then(|| used.into_iter().collect())
}

/// A path without a layout's name: class folders, or folders of splits.
fn plain(path: &Path, split: Split) -> Result<FileSet> {
    let tree = Tree::open(path)?;
    let folders: BTreeSet<&str> = tree.images("").filter_map(outermost).collect();
    let inner: BTreeSet<&str> = match folders.len() {
        1 => tree.images("").filter_map(|name| outermost(name.split_once('/')?.1)).collect(),
        _ => BTreeSet::new(),
    };
    // Among other classes, `train` is one of them.
    let are_splits = |names: &BTreeSet<&str>| {
        names.contains("train") && names.iter().all(|name| Split::is_folder(name))
    };
    if are_splits(&folders) || are_splits(&inner) {
        return split_folders(tree, split);
    }
    FileSet::open(path)
}

fn outermost(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

/// Class folders below the folders of the split.
fn split_folders(tree: Tree, split: Split) -> Result<FileSet> {
    let marks: Vec<String> = split.folders()[0].iter().map(|folder| format!("{folder}/")).collect();
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    let tree = tree.inside(&marks, "the set, with a folder for each part")?;
    let mut files = Vec::new();
    for folder in tree.split_folders("", split) {
        for name in tree.images(&folder) {
            if let Some((class, _)) = name[folder.len()..].split_once('/') {
                files.push((name.to_owned(), class.to_owned()));
            }
        }
    }
    named(tree, files, None, split)
}

/// Images by the name of their class; the classes are `classes` in that order, or
/// those that occur, sorted.
fn named(
    tree: Tree,
    files: Vec<(String, String)>,
    classes: Option<Vec<String>>,
    split: Split,
) -> Result<FileSet> {
    let classes = classes.unwrap_or_else(|| {
        let all: BTreeSet<&String> = files.iter().map(|(_, class)| class).collect();
        all.into_iter().cloned().collect()
    });
    let places: std::collections::BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
    let labelled = files.into_iter().map(|(file, class)| match places.get(class.as_str()) {
        Some(&label) => Ok((file, label)),
        None => Err(Error::data(
            tree.path(&file),
            format!("is of `{class}`, which is no class of this set"),
        )),
    });
    let files = labelled.collect::<Result<Vec<_>>>()?;
    finish(tree, files, classes, split)
}

/// The set of these files, if it is one.
fn finish(
    tree: Tree,
    files: Vec<(String, usize)>,
    classes: Vec<String>,
    split: Split,
) -> Result<FileSet> {
    if files.is_empty() {
        return Err(Error::data(tree.root(), format!("has no images for the {split} part")));
    }
    if classes.len() < 2 {
        return Err(Error::data(
            tree.root(),
            format!("has {} class(es); two are needed", classes.len()),
        ));
    }
    Ok(FileSet::listed(&tree, files, classes))
}
