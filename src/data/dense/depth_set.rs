use std::sync::Arc;

use super::nyu::Nyu;
use super::{DenseSet, DepthMap, check_pairs};
use crate::data::place::{kind, scenes};
use crate::data::{ImageSet, Scenes, SharedImages, Split};
use crate::error::{Error, Result};

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
    /// Opens a part of a set and checks that every image has its depth map:
    ///
    /// - `nyu:PATH`, NYU Depth v2: `nyu_depth_v2_labeled.mat` (MATLAB 7.3), or its
    ///   folder, with `splits.mat` beside it;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes of `side` pixels.
    ///
    /// Depth maps are looked into when they are read, or all by
    /// [`check`](Self::check). Plain folders are read by
    /// [`DepthPairs`](super::DepthPairs).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`] with the file's name, and [`Error::Config`] for
    /// another layout and scenes that cannot be.
    pub fn open(place: &str, split: Split, side: usize) -> Result<Self> {
        if let Some(scenes) = scenes(place, split, side)? {
            return Ok(Self { source: Source::Scenes(Arc::new(scenes)) });
        }
        let Some((_, path)) = kind(place, &LAYOUTS) else {
            return Err(Error::config(format!("{place}: begins with neither nyu: nor scenes:")));
        };
        Ok(Self { source: Source::Nyu(Arc::new(Nyu::open(path, split)?)) })
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
            Source::Nyu(nyu) => Arc::clone(nyu) as SharedImages,
            Source::Scenes(scenes) => Arc::clone(scenes) as SharedImages,
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
