//! Images with a depth for each pixel.

use std::path::Path;
use std::sync::Arc;

use super::maps::{DenseSet, DepthMap, check_pairs};
use super::nyu::Nyu;
use super::pairs::{Pairs, PngNumbers, png_numbers};
use crate::data::image_set::{ImageSet, ImageSource};
use crate::data::place::{Split, kind, scenes};
use crate::data::scenes::Scenes;
use crate::error::{Error, Result};

/// The folder of depth maps beside `images`.
const FOLDER: &str = "depth";

/// Images with depth maps: `images/NAME.jpg` (or `.png`) and the 16-bit greyscale
/// PNG file `depth/NAME.png`, in a folder or a zip file; both folders may have the same
/// subfolders.
#[derive(Debug)]
pub struct DepthPairs {
    pairs: Pairs,
    unit: f32,
}

impl DepthPairs {
    /// Opens `set`, `set/images/train`, …, and checks all its depth maps.
    /// `unit` is the length of the number 1 in metres: 0.001 for millimetres.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the file's name, where an image has no
    /// depth map, or one has another aspect ratio or is not a 16-bit PNG file.
    pub fn open(path: &Path, unit: f32) -> Result<Self> {
        let set = Self { pairs: Pairs::open(path, FOLDER)?, unit };
        let all: Vec<usize> = (0..set.pairs.images.len()).collect();
        check_pairs(&set, &all, |_, _| Ok(()))?;
        Ok(set)
    }
}

impl DenseSet for DepthPairs {
    type Truth = DepthMap;

    fn images(&self) -> ImageSet {
        Arc::clone(&self.pairs.images).into()
    }

    fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        self.pairs.image_size(index)
    }

    fn truth_name(&self, index: usize) -> String {
        self.pairs.truth_path(index).display().to_string()
    }

    fn truth(&self, index: usize) -> Result<DepthMap> {
        let path = self.pairs.truth_path(index);
        let wanted = "depth maps are 16-bit greyscale PNG files";
        let PngNumbers { size, values, bits, indexed } =
            png_numbers(&self.pairs.truth_bytes(index)?, path, wanted)?;
        if bits != 16 || indexed {
            return Err(Error::data(path, format!("has {bits} bits a pixel; {wanted}")));
        }
        let metres = values.into_iter().map(|number| f32::from(number) * self.unit).collect();
        Ok(DepthMap { size, metres })
    }
}

/// The layouts by the word before the colon.
const LAYOUTS: [&str; 1] = ["nyu"];

/// Images with a depth for each pixel, in a layout that a set is published in.
#[derive(Debug)]
pub struct DepthSet {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Nyu(Arc<Nyu>),
    Scenes(Arc<Scenes>),
}

impl DepthSet {
    /// Opens a split of a set and checks that every image has its depth map:
    ///
    /// - `nyu:PATH`, NYU Depth v2: `nyu_depth_v2_labeled.mat` (MATLAB 7.3), or its
    ///   folder, with `splits.mat` beside it;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes.
    ///
    /// The content of a depth map is checked when it is read, or of all by
    /// [`check`](Self::check). Plain folders are read by
    /// [`DepthPairs`](super::DepthPairs).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with the file's name, and for another layout or
    /// scenes that cannot be.
    pub fn open(place: &str, split: Split) -> Result<Self> {
        if let Some(scenes) = scenes(place, split)? {
            return Ok(Self { source: Source::Scenes(Arc::new(scenes)) });
        }
        let Some((_, path)) = kind(place, &LAYOUTS) else {
            return Err(Error::data(place, "begins with neither nyu: nor scenes:"));
        };
        Ok(Self { source: Source::Nyu(Arc::new(Nyu::open(path, split)?)) })
    }

    /// The same set with procedural scenes drawn at `side` times `side` pixels; 224
    /// unless set. Images of files keep their own size.
    pub fn with_scene_side(mut self, side: usize) -> Self {
        if let Source::Scenes(scenes) = &mut self.source {
            *scenes = Arc::new(scenes.with_side(side));
        }
        self
    }

    /// Whether a place begins with a layout's prefix, such as `imagenet:`.
    pub fn is_layout(place: &str) -> bool {
        place.starts_with("scenes:") || kind(place, &LAYOUTS).is_some()
    }

    /// Reads and checks every depth map.
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

    fn images(&self) -> ImageSet {
        match &self.source {
            Source::Nyu(nyu) => Arc::clone(nyu).into(),
            Source::Scenes(scenes) => Arc::clone(scenes).into(),
        }
    }

    fn image_size(&self, _index: usize) -> Result<[usize; 2]> {
        match &self.source {
            Source::Nyu(nyu) => Ok(nyu.size()),
            Source::Scenes(scenes) => Ok([scenes.side(); 2]),
        }
    }

    fn truth_name(&self, index: usize) -> String {
        match &self.source {
            Source::Nyu(nyu) => format!("depths of {}", nyu.name(index)),
            Source::Scenes(scenes) => format!("depths of {}", scenes.name(index)),
        }
    }

    fn truth(&self, index: usize) -> Result<DepthMap> {
        match &self.source {
            Source::Nyu(nyu) => nyu.depth(index),
            Source::Scenes(scenes) => {
                let metres = scenes.scene(index).depth;
                Ok(DepthMap { size: [scenes.side(); 2], metres })
            }
        }
    }
}
