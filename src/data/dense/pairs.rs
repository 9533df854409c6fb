use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::decode::dimensions;
use crate::data::store::Store;
use crate::data::{ImageSet, PictureSet};
use crate::error::{Error, Result};

/// The folder that holds the images.
const IMAGES: &str = "images";

/// Images and, for each, a PNG file of the same name in a folder beside theirs.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) images: Arc<PictureSet>,
    store: Store,
    truths: Vec<PathBuf>,
}

impl Pairs {
    /// Opens a folder that holds `images` and the folder `beside`, or one below
    /// `images` (`set/images/train`), whose counterpart is then the one at the
    /// same place below `beside` (`set/annotations/train`). Both may lie in a zip
    /// file.
    pub(super) fn open(path: &Path, beside: &str) -> Result<Self> {
        let (image_path, truth_path) = match split_at_images(path) {
            Some((root, rest)) => (path.to_owned(), root.join(beside).join(rest)),
            None => (path.join(IMAGES), path.join(beside)),
        };
        let images = PictureSet::open(&image_path).map_err(|error| match error {
            Error::Io { source, .. } => Error::data(
                &image_path,
                format!(
                    "{source}; give a folder that holds `{IMAGES}` and `{beside}`, or one below `{IMAGES}`"
                ),
            ),
            other => other,
        })?;
        let (store, found) = Store::open(&truth_path)?;
        let found: BTreeSet<PathBuf> = found.iter().map(|name| truth_path.join(name)).collect();
        let truths = images.paths().iter().map(|image| {
            let inner = image.strip_prefix(&image_path).unwrap_or(image);
            let truth = truth_path.join(inner).with_extension("png");
            if found.contains(&truth) {
                return Ok(truth);
            }
            Err(Error::data(&truth, format!("is missing; it belongs to {}", image.display())))
        });
        let truths = truths.collect::<Result<_>>()?;
        Ok(Self { images: Arc::new(images), store, truths })
    }

    pub(super) fn truth_path(&self, index: usize) -> &Path {
        &self.truths[index]
    }

    /// The bytes of the file beside image `index`.
    pub(super) fn truth_bytes(&self, index: usize) -> Result<Vec<u8>> {
        self.store.bytes(&self.truths[index])
    }

    /// Height and width of image `index` as it is read, from its header.
    pub(super) fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        let bytes = self.images.bytes(index)?;
        dimensions(&bytes, Path::new(&self.images.name(index)))
    }
}

/// What lies before and after the last folder `images` of a path.
fn split_at_images(path: &Path) -> Option<(&Path, &Path)> {
    let images =
        path.ancestors().find(|part| part.file_name().is_some_and(|name| name == IMAGES))?;
    Some((images.parent()?, path.strip_prefix(images).ok()?))
}
