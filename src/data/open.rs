//! Sets of images from the places that a user names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::classify::{self, ClassifySet};
use super::file_set::FileSet;
use super::files::{count_unreadable, is_archive, is_image, readable};
use super::image_set::ImageSet;
use super::list;
use super::place::Split;
use crate::error::Result;

impl ImageSet {
    /// Opens images for training: [`open_split`](Self::open_split) of [`Split::Train`].
    ///
    /// # Errors
    /// Those of [`open_split`](Self::open_split).
    pub fn open(place: impl AsRef<Path>) -> Result<Self> {
        Self::open_split(place, Split::Train)
    }

    /// Opens the images of one split:
    ///
    /// - a folder, a zip or a tar file with one folder for each class, below folders called
    ///   `train`, `val` or `test` where there are such: images with labels;
    /// - any other folder, zip or tar file, or one image file: images without labels;
    /// - a list of image files, `.txt`, `.csv` or `.tsv`, with labels where each has one;
    /// - a pattern (`photos/*.jpg`, `sets/*/train`): what it matches, joined;
    /// - a published layout, `imagenet:PATH` and the others of [`ClassifySet::open`];
    /// - `scenes:N` or `scenes:A-B`: procedural scenes, see
    ///   [`with_scene_side`](Self::with_scene_side).
    ///
    /// A path may lead into a zip or tar file (`cifar10.zip/cifar10`).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the path cannot be read;
    /// [`Error::Data`](crate::Error::Data) where it holds no image.
    pub fn open_split(place: impl AsRef<Path>, split: Split) -> Result<Self> {
        Self::open_places(&[place], split)
    }

    /// Opens the images of several places, each as [`open_split`](Self::open_split) takes it,
    /// as one set; see [`join`](Self::join).
    ///
    /// # Errors
    /// Those of [`open_split`](Self::open_split).
    pub fn open_places<P: AsRef<Path>>(places: &[P], split: Split) -> Result<Self> {
        let mut found = Vec::new();
        for place in places {
            found.extend(sets(place.as_ref(), &|place| open_one(place, split))?);
        }
        Self::join(found)
    }

    /// Opens every image at a place. Below a plain path these are all image files,
    /// whatever their folders are called, without labels. Of a published layout it is
    /// the test split.
    ///
    /// # Errors
    /// Those of [`open_split`](Self::open_split).
    pub fn open_all(place: impl AsRef<Path>) -> Result<Self> {
        let all = |place: &Path| match layout(place) {
            Some(layout) => {
                let split = if layout.starts_with("scenes:") { Split::Train } else { Split::Test };
                ClassifySet::open(layout, split).map(|set| set.images())
            }
            None => FileSet::all(place).map(Self::new),
        };
        Self::join(sets(place.as_ref(), &all)?)
    }
}

/// Opens one place that is neither a list nor a pattern.
fn open_one(place: &Path, split: Split) -> Result<ImageSet> {
    if let Some(layout) = layout(place) {
        return ClassifySet::open(layout, split).map(|set| set.images());
    }
    match FileSet::single(place)? {
        Some(file) => Ok(ImageSet::new(file)),
        None => classify::open_any(place, split).map(ImageSet::new),
    }
}

/// The sets at a place: a list, the matches of a pattern, or what `open` makes of it.
pub(super) fn sets<S: From<ImageSet>>(
    place: &Path,
    open: &dyn Fn(&Path) -> Result<S>,
) -> Result<Vec<S>> {
    let listed = |path: &Path| list::open(path).map(|set| S::from(ImageSet::new(set)));
    if layout(place).is_some() {
        return Ok(vec![open(place)?]);
    }
    if list::is_list(place) {
        return Ok(vec![listed(place)?]);
    }
    let Some(found) = list::matches(place)? else { return Ok(vec![open(place)?]) };
    let of_kind = |kind: &dyn Fn(&Path) -> bool| -> Vec<&PathBuf> {
        found.iter().filter(|path| kind(path)).collect()
    };
    // Folders on the way may begin with a point.
    let own = |path: &Path| readable(path.file_name().unwrap_or_default().as_encoded_bytes());
    let image = |path: &Path| is_image(&own(path)) && path.is_file();
    let mut sets = Vec::new();
    for path in of_kind(&|path| path.is_dir() || is_archive(path)) {
        sets.push(open(path)?);
    }
    let images = of_kind(&image);
    if !images.is_empty() {
        let (mut files, mut odd) = (Vec::with_capacity(images.len()), HashMap::new());
        for path in images {
            let name = readable(path.as_os_str().as_encoded_bytes());
            if path != Path::new(&name) {
                odd.insert(PathBuf::from(&name), path.clone());
            }
            files.push((name, 0));
        }
        let names: Vec<String> = found.iter().map(|path| own(path)).collect();
        let left_out = count_unreadable(names.iter().map(String::as_str));
        let files = FileSet::listed(Path::new(""), odd, files, Vec::new());
        sets.push(S::from(ImageSet::new(files.beside(left_out))));
    }
    if sets.is_empty() {
        for path in of_kind(&list::is_list) {
            sets.push(listed(path)?);
        }
    }
    if sets.is_empty() {
        // The message about the first says what is wrong.
        sets.push(open(&found[0])?);
    }
    Ok(sets)
}

/// A place that names a published layout or procedural scenes instead of a path.
fn layout(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| text.starts_with("scenes:") || ClassifySet::is_layout(text))
}
