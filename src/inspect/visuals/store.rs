use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::maps::{PatchFeatures, check_patches};
use crate::readback::read;

/// Patch features of a set of images in a temporary file, so that memory does not grow with the
/// set.
#[derive(Debug)]
pub(super) struct FeatureFile {
    dim: usize,
    grids: Vec<[usize; 2]>,
    /// Where each image's values begin, in bytes.
    starts: Vec<u64>,
    end: u64,
    file: RefCell<File>,
}

impl FeatureFile {
    /// For so many images, of which none is written yet.
    pub(super) fn new(dim: usize, images: usize) -> Result<Self> {
        let file = RefCell::new(tempfile::tempfile().map_err(failed)?);
        Ok(Self { dim, grids: vec![[0, 0]; images], starts: vec![0; images], end: 0, file })
    }

    /// Keeps an image's features `[P, D]`.
    pub(super) fn write(&mut self, image: usize, grid: [usize; 2], values: &[f32]) -> Result<()> {
        check_patches(values, grid, self.dim)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        self.file.get_mut().write_all(&bytes).map_err(failed)?;
        (self.grids[image], self.starts[image]) = (grid, self.end);
        self.end += bytes.len() as u64;
        Ok(())
    }
}

impl PatchFeatures for FeatureFile {
    fn dim(&self) -> usize {
        self.dim
    }

    fn grids(&self) -> &[[usize; 2]] {
        &self.grids
    }

    fn read(&self, image: usize) -> Result<Cow<'_, [f32]>> {
        let [rows, columns] = self.grids[image];
        let mut bytes = vec![0; rows * columns * self.dim * size_of::<f32>()];
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(self.starts[image])).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io(std::env::temp_dir(), error)
}

/// A student's features as a run's projection maps them into the teacher's space.
pub(super) struct Projected<'a> {
    pub(super) own: &'a FeatureFile,
    pub(super) projection: &'a Linear,
    pub(super) device: &'a Device,
}

impl PatchFeatures for Projected<'_> {
    fn dim(&self) -> usize {
        self.projection.weight.dims()[1]
    }

    fn grids(&self) -> &[[usize; 2]] {
        self.own.grids()
    }

    fn read(&self, image: usize) -> Result<Cow<'_, [f32]>> {
        let values = self.own.read(image)?.into_owned();
        let shape = [values.len() / self.own.dim, self.own.dim];
        let tokens = Tensor::<2>::from_data(TensorData::new(values, shape), self.device);
        Ok(Cow::Owned(read(self.projection.forward(tokens))?))
    }
}
