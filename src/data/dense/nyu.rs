use std::fmt;
use std::path::{Path, PathBuf};

use hdf5_reader::{Dataset, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use image::{Rgb, RgbImage};

use super::maps::DepthMap;
use crate::data::image_set::ImageSource;
use crate::data::mat::{self, Value};
use crate::data::place::Split;
use crate::error::{Error, Result};

/// The published name of the labelled images.
pub(super) const FILE: &str = "nyu_depth_v2_labeled.mat";
/// The published split into training and test images.
const SPLITS: &str = "splits.mat";
/// The most bytes of an image or of a chunk of images.
const MOST_BYTES: usize = 512 << 20;

/// NYU Depth v2's labelled images, <https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html>.
pub(super) struct Nyu {
    path: PathBuf,
    file: Hdf5File,
    /// Indices in the file of the split's images, from 0.
    indices: Vec<usize>,
    size: [usize; 2],
}

impl Nyu {
    /// Opens the file, or the folder that holds it.
    pub(super) fn open(path: &Path, split: Split) -> Result<Self> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        if !path.is_file() {
            return Err(Error::data(&path, "is missing; give the file or its folder"));
        }
        let options =
            OpenOptions::default().with_max_chunk_bytes(MOST_BYTES).with_max_read_bytes(MOST_BYTES);
        let file = Hdf5File::open_with_options(&path, options).map_err(|error| {
            Error::data(&path, format!("not readable as a file of MATLAB 7.3 ({error})"))
        })?;
        let mut nyu = Self { path, file, indices: Vec::new(), size: [0; 2] };
        let (images, depths) = (nyu.dataset("images")?, nyu.dataset("depths")?);
        // MATLAB's columns come first: [N, 3, W, H] and [N, W, H].
        let (&[count, 3, width, height], depths) = (images.shape(), depths.shape()) else {
            return Err(nyu.damaged(format!("its images are of shape {:?}", images.shape())));
        };
        if depths != [count, width, height] {
            return Err(nyu.damaged(format!(
                "its images are of shape {:?}, its depths of {depths:?}",
                images.shape()
            )));
        }
        nyu.size = [height as usize, width as usize];
        nyu.indices = splits(&nyu.path.with_file_name(SPLITS), split, count as usize)?;
        Ok(nyu)
    }

    /// Height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The depths of image `index`, in metres.
    pub(super) fn depth(&self, index: usize) -> Result<DepthMap> {
        let values: Vec<f32> = self.read("depths", index, 2)?;
        let [height, width] = self.size;
        let known = |value: f32| if value.is_finite() && value > 0.0 { value } else { 0.0 };
        let metres = (0..height * width)
            .map(|at| known(values[(at % width) * height + at / width]))
            .collect();
        Ok(DepthMap { size: self.size, metres })
    }

    fn read<T: hdf5_reader::H5Type + Clone>(
        &self,
        name: &str,
        index: usize,
        sides: usize,
    ) -> Result<Vec<T>> {
        let all = SliceInfoElem::Slice { start: 0, end: u64::MAX, step: 1 };
        let mut selections = vec![SliceInfoElem::Index(self.indices[index] as u64)];
        selections.resize(1 + sides, all);
        let values = self.dataset(name)?.read_slice::<T>(&SliceInfo { selections });
        let values =
            values.map_err(|error| self.damaged(format!("{}: {error}", self.name(index))))?;
        let wanted = self.size.iter().product::<usize>() * if sides == 3 { 3 } else { 1 };
        if values.len() != wanted {
            return Err(self.damaged(format!("{} has {} numbers", self.name(index), values.len())));
        }
        Ok(values.iter().cloned().collect())
    }

    fn dataset(&self, name: &str) -> Result<Dataset> {
        self.file.dataset(name).map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    fn damaged(&self, reason: String) -> Error {
        Error::data(&self.path, format!("unreadable ({reason}); download it again"))
    }
}

/// The images of a split, from 0. There are two published splits only.
fn splits(path: &Path, split: Split, count: usize) -> Result<Vec<usize>> {
    let variable = match split {
        Split::Train | Split::TrainVal => "trainNdxs",
        Split::Val | Split::Test => "testNdxs",
    };
    if !path.is_file() {
        return Err(Error::data(
            path,
            "is missing; it says which images are for training, and is published beside them",
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let damaged = |reason: String| Error::data(path, format!("unreadable ({reason})"));
    let Some(Value::Numbers(matrix)) = mat::read(&bytes).map_err(damaged)?.remove(variable) else {
        return Err(damaged(format!("there are no numbers called {variable}")));
    };
    let indices = matrix.values.iter().map(|&number| {
        let index = (number as usize).checked_sub(1).filter(|&index| index < count);
        index.ok_or_else(|| damaged(format!("{variable} lists image {number} of {count}")))
    });
    let indices = indices.collect::<Result<Vec<_>>>()?;
    if indices.is_empty() {
        return Err(damaged(format!("{variable} is empty")));
    }
    Ok(indices)
}

impl fmt::Debug for Nyu {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Nyu").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ImageSource for Nyu {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {}", self.path.display(), self.indices[index] + 1)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let values: Vec<u8> = Nyu::read(self, "images", index, 3)?;
        let [height, width] = self.size;
        let plane = height * width;
        Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = x as usize * height + y as usize;
            Rgb([0, 1, 2].map(|channel| values[channel * plane + at]))
        }))
    }
}
