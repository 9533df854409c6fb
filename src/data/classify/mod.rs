//! Labelled images in the layouts that common data sets are published in.

mod imagenet;
mod lists;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::file_set::{FileSet, no_images};
use super::files::Tree;
use super::image_set::ImageSet;
use super::open::sets;
use super::place::{Split, kind, scenes};
use crate::error::{Error, Result};

/// Labelled images and, for some sets, which of the classes they have.
#[derive(Debug, Clone)]
pub struct ClassifySet {
    images: ImageSet,
    subset: Option<Vec<usize>>,
}

impl From<ImageSet> for ClassifySet {
    /// Images with labels of all their classes.
    fn from(images: ImageSet) -> Self {
        Self { images, subset: None }
    }
}

type Reader = fn(Tree, Split) -> Result<FileSet>;

/// Readers of the published layouts by prefix.
const LAYOUTS: [(&str, Reader); 10] = [
    ("imagenet", imagenet::open),
    ("imagenet-r", imagenet::open_renditions),
    ("imagenet-v2", imagenet::open_v2),
    ("inat2019", lists::inaturalist),
    ("aircraft", lists::aircraft),
    ("pets", lists::pets),
    ("food101", lists::food101),
    ("flowers102", lists::flowers102),
    ("cifar10", open_split_folders),
    ("folders", open_split_folders),
];

impl ClassifySet {
    /// Opens a split of a set and checks that every listed image is there:
    ///
    /// - `imagenet:PATH`, ImageNet-1k: `train/` and `val/` as folders for each class,
    ///   or `val/` flat with `val.txt`, the development kit or the files of the
    ///   competition's own archive;
    /// - `imagenet-r:PATH` and `imagenet-v2:PATH`, labelled by ImageNet's 1000 classes;
    /// - `inat2019:PATH` (`train2019.json`, …), `aircraft:PATH` (FGVC-Aircraft, variants),
    ///   `pets:PATH` (Oxford-IIIT Pet, 37 breeds), `food101:PATH`, `flowers102:PATH`;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes;
    /// - a list of files with labels, or a pattern of sets, as [`ImageSet::open_split`] takes
    ///   them;
    /// - a plain path, `cifar10:PATH` or `folders:PATH`: a folder for each class, below
    ///   folders called `train`, `val` or `test` where there are such. A folder that
    ///   holds nothing but one other folder is stepped into.
    ///
    /// A path may be a zip or tar file or lead into one; the set may lie deeper below it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NoClasses`] for images without classes, or of one class;
    /// [`Error::Data`] with the file's name where something is missing, damaged or out of
    /// range, and for scenes that cannot be.
    pub fn open(place: &str, split: Split) -> Result<Self> {
        Self::open_places(&[place], split)
    }

    /// Opens a split of several sets as one: classes of one name are one class.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_places<P: AsRef<str>>(places: &[P], split: Split) -> Result<Self> {
        let mut found = Vec::new();
        for place in places {
            for set in sets(Path::new(place.as_ref()), &|path| Self::open_labelled(path, split))? {
                if !set.images.has_labels() {
                    let reason = "not every image that is named has a class".to_owned();
                    return Err(Error::NoClasses { place: place.as_ref().into(), reason });
                }
                found.push(set);
            }
        }
        if let [only] = found.as_slice()
            && only.images.classes().len() > 1
        {
            return Ok(only.clone());
        }
        let images = ImageSet::join(found.into_iter().map(|set| set.images).collect())?;
        if images.classes().len() < 2 {
            let place = places.first().map(|place| place.as_ref().into()).unwrap_or_default();
            let reason = "all images are of one class; two are needed".to_owned();
            return Err(Error::NoClasses { place, reason });
        }
        Ok(Self { subset: subset(&images), images })
    }

    /// Opens one set that is neither a list nor a pattern.
    fn open_labelled(place: &Path, split: Split) -> Result<Self> {
        let place = place.to_str().unwrap_or_default();
        if let Some(scenes) = scenes(place, split)? {
            return Ok(Self { images: ImageSet::new(scenes), subset: None });
        }
        let found = LAYOUTS
            .iter()
            .find_map(|(name, read)| kind(place, &[name]).map(|(_, path)| (read, path)));
        let set = match found {
            Some((read, path)) => read(Tree::open(path)?, split)?,
            None => ClassFolders::find(Path::new(place), split)?.labelled()?,
        };
        let images = ImageSet::new(set);
        Ok(Self { subset: subset(&images), images })
    }

    /// Whether a place begins with a layout's prefix, such as `imagenet:`.
    pub fn is_layout(place: &str) -> bool {
        kind(place, &LAYOUTS.map(|(name, _)| name)).is_some()
    }

    /// The images with their labels.
    pub fn images(&self) -> ImageSet {
        self.images.clone()
    }

    /// The classes that occur, in order, where some do not: a head's predictions
    /// should be restricted to them, as for ImageNet-R.
    pub fn subset(&self) -> Option<&[usize]> {
        self.subset.as_deref()
    }
}

/// Opens images at a plain path: with labels where every image lies in one of two or
/// more class folders, else without.
pub(super) fn open_any(path: &Path, split: Split) -> Result<FileSet> {
    let folders = ClassFolders::find(path, split)?;
    if folders.unclassified.is_empty() && folders.classes().len() >= 2 {
        return folders.labelled();
    }
    folders.unlabelled()
}

fn subset(set: &ImageSet) -> Option<Vec<usize>> {
    let used: BTreeSet<usize> = (0..set.len()).filter_map(|index| set.label(index)).collect();
    (used.len() < set.classes().len()).then(|| used.into_iter().collect())
}

/// Images of a plain path by the folders they lie in.
struct ClassFolders {
    tree: Tree,
    /// Where the class folders are.
    root: PathBuf,
    /// Names with the class folder of each.
    files: Vec<(String, String)>,
    /// Names of images that lie in no class folder.
    unclassified: Vec<String>,
    /// The split, where the folders are those of a split.
    split: Option<Split>,
    /// How many files beside them are images that cannot be read, by ending.
    left_out: BTreeMap<String, usize>,
}

impl ClassFolders {
    /// Lists the class folders at a path, or below its folders of splits.
    fn find(path: &Path, split: Split) -> Result<Self> {
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
            return Self::of_split(&tree, split);
        }
        let shared = tree.shared_folders();
        let prefix = if shared.is_empty() { String::new() } else { format!("{shared}/") };
        let root = path.join(&shared);
        let mut found = Self::below(tree, &[prefix], root, None);
        // By class, also where a name sorts between a class and its images.
        found.files.sort_by(|(_, a), (_, b)| a.cmp(b));
        Ok(found)
    }

    /// The class folders below the folders of a split.
    fn of_split(tree: &Tree, split: Split) -> Result<Self> {
        let marks: Vec<String> =
            split.folders()[0].iter().map(|folder| format!("{folder}/")).collect();
        let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
        let tree = tree.inside(&marks, "the set, with a folder for each split")?;
        let folders = tree.split_folders("", split);
        let root = tree.root().to_owned();
        Ok(Self::below(tree, &folders, root, Some(split)))
    }

    fn below(tree: Tree, folders: &[String], root: PathBuf, split: Option<Split>) -> Self {
        let (mut files, mut unclassified) = (Vec::new(), Vec::new());
        for folder in folders {
            for name in tree.images(folder) {
                match name[folder.len()..].split_once('/') {
                    Some((class, _)) => files.push((name.to_owned(), class.to_owned())),
                    None => unclassified.push(name.to_owned()),
                }
            }
        }
        let left_out = tree.left_out(folders);
        Self { tree, root, files, unclassified, split, left_out }
    }

    fn classes(&self) -> BTreeSet<&str> {
        self.files.iter().map(|(_, class)| class.as_str()).collect()
    }

    /// The images in class folders, with their labels.
    fn labelled(self) -> Result<FileSet> {
        let split = match self.split {
            Some(split) => split,
            None if self.files.is_empty() && self.unclassified.is_empty() => {
                return Err(no_images(self.tree.root(), &self.left_out));
            }
            None => {
                let count = self.classes().len();
                if count < 2 {
                    return Err(Error::NoClasses {
                        place: self.root,
                        reason: format!(
                            "holds {count} class folder(s); at least two are needed, each with the images of one class"
                        ),
                    });
                }
                Split::Train
            }
        };
        Ok(FileSet::named(&self.tree, self.files, None, split)?.beside(self.left_out))
    }

    /// All images, without labels.
    fn unlabelled(self) -> Result<FileSet> {
        let mut names = self.unclassified;
        names.extend(self.files.into_iter().map(|(name, _)| name));
        if names.is_empty() {
            return Err(no_images(self.tree.root(), &self.left_out));
        }
        names.sort_unstable();
        Ok(FileSet::unlabelled(&self.tree, names).beside(self.left_out))
    }
}

fn open_split_folders(tree: Tree, split: Split) -> Result<FileSet> {
    ClassFolders::of_split(&tree, split)?.labelled()
}

fn outermost(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}
