use std::path::Path;
use std::sync::Arc;

use super::nyu::{self, Nyu};
use super::segment_set::pairs;
use super::{DenseSet, DepthMap, check_pairs, png};
use crate::data::place::{kind, scenes};
use crate::data::tree::Tree;
use crate::data::{FileSet, ImageSet, Scenes, SharedImages, Split};
use crate::error::{Error, Result};

/// The layouts by the word before the colon.
const LAYOUTS: [&str; 2] = ["nyu", "depth"];
/// Metres that the number 1 in a depth file stands for.
const MILLIMETRE: f32 = 0.001;

/// Images with a depth for each pixel, in a layout that a set is published in.
#[derive(Debug)]
pub struct DepthSet {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Files { images: Arc<FileSet>, tree: Tree, truths: Vec<String> },
    Nyu(Arc<Nyu>),
    Scenes(Arc<Scenes>),
}

impl DepthSet {
    /// Opens a part of a set and checks that every image has its depth map:
    ///
    /// - `nyu:PATH`, NYU Depth v2: `nyu_depth_v2_labeled.mat` (MATLAB 7.3), or its
    ///   folder, with `splits.mat` beside it;
    /// - `depth:PATH` or a plain path: `images/` and `depth/` with 16-bit greyscale PNG
    ///   files of millimetres, both with folders for the parts or without; 0 is not
    ///   known;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes of `side` pixels.
    ///
    /// The paths of PNG files may be zip files or lead into one. Depth maps are looked
    /// into when they are read, or all by [`check`](Self::check).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`] with the file's name, and [`Error::Config`] for
    /// scenes that cannot be.
    pub fn open(place: &str, split: Split, side: usize) -> Result<Self> {
        if let Some(scenes) = scenes(place, split, side)? {
            return Ok(Self { source: Source::Scenes(Arc::new(scenes)) });
        }
        let (kind, path) = kind(place, &LAYOUTS).unwrap_or(("depth", Path::new(place)));
        if kind == "nyu" || path.join(nyu::FILE).is_file() {
            return Ok(Self { source: Source::Nyu(Arc::new(Nyu::open(path, split)?)) });
        }
        let tree = Tree::open(path)?.inside(&["depth/"], "the set, with images and depth")?;
        let (images, truths) = pairs(&tree, split, "depth", None)?;
        let images = Arc::new(FileSet::unlabelled(&tree, images));
        Ok(Self { source: Source::Files { images, tree, truths } })
    }

    /// Whether a place is not a plain path but begins with a layout's name.
    pub fn is_layout(place: &str) -> bool {
        place.starts_with("scenes:") || kind(place, &LAYOUTS).is_some()
    }

    /// Reads every depth map.
    ///
    /// # Errors
    /// [`Error::Data`] for the first that is damaged or of another shape than its image.
    pub fn check(&self) -> Result<()> {
        let all: Vec<usize> = (0..self.images().len()).collect();
        check_pairs(self, &all, |_, _| Ok(())).map(drop)
    }
}

impl DenseSet for DepthSet {
    type Truth = DepthMap;

    fn images(&self) -> SharedImages {
        match &self.source {
            Source::Files { images, .. } => Arc::clone(images) as SharedImages,
            Source::Nyu(nyu) => Arc::clone(nyu) as SharedImages,
            Source::Scenes(scenes) => Arc::clone(scenes) as SharedImages,
        }
    }

    fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        match &self.source {
            Source::Files { images, .. } => images.size(index),
            Source::Nyu(nyu) => Ok(nyu.size()),
            Source::Scenes(scenes) => Ok([scenes.side(); 2]),
        }
    }

    fn truth_name(&self, index: usize) -> String {
        match &self.source {
            Source::Files { tree, truths, .. } => tree.path(&truths[index]).display().to_string(),
            Source::Nyu(nyu) => format!("depths of {}", nyu.name(index)),
            Source::Scenes(scenes) => format!("depths of {}", scenes.name(index)),
        }
    }

    fn truth(&self, index: usize) -> Result<DepthMap> {
        let (tree, truth) = match &self.source {
            Source::Files { tree, truths, .. } => (tree, &truths[index]),
            Source::Nyu(nyu) => return nyu.depth(index),
            Source::Scenes(scenes) => {
                let metres = scenes.scene(index).depth;
                return Ok(DepthMap { size: [scenes.side(); 2], metres });
            }
        };
        let path = tree.path(truth);
        let wanted = "depth maps are 16-bit greyscale PNG files of millimetres";
        let png::Numbers { size, values, bits, indexed } =
            png::numbers(&tree.bytes(truth)?, &path, wanted)?;
        if bits != 16 || indexed {
            return Err(Error::data(path, format!("has {bits} bits a pixel; {wanted}")));
        }
        let metres = values.into_iter().map(|number| f32::from(number) * MILLIMETRE).collect();
        Ok(DepthMap { size, metres })
    }
}
