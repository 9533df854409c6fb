//! Images from Python's memory and from places.

use image::RgbImage;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use singer::ImageSet;
use singer::data::{ImageSource, Split};

use crate::error::{raised, setting};

/// Images in memory.
#[pyclass(frozen, module = "singer._singer")]
pub(crate) struct Pictures {
    pub(crate) images: Vec<RgbImage>,
}

#[pymethods]
impl Pictures {
    /// Each as its bytes `[H, W, 3]`, height and width.
    #[new]
    fn new(py: Python<'_>, images: Vec<(Vec<u8>, u32, u32)>) -> PyResult<Self> {
        let image = |(bytes, height, width)| {
            RgbImage::from_raw(width, height, bytes)
                .filter(|image| !image.is_empty())
                .ok_or_else(|| setting(py, format!("images: {height}x{width} pixels are no image")))
        };
        Ok(Self { images: images.into_iter().map(image).collect::<PyResult<_>>()? })
    }
}

struct InMemory(Vec<RgbImage>);

impl ImageSource for InMemory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn read(&self, index: usize) -> singer::Result<RgbImage> {
        Ok(self.0[index].clone())
    }
}

/// At most `limit` images of places, evenly spread, as bytes `[H, W, 3]`, height and width; procedural
/// scenes are drawn at `side` pixels.
#[pyfunction]
pub(crate) fn read_images(
    py: Python<'_>,
    places: Vec<String>,
    limit: usize,
    side: usize,
) -> PyResult<Vec<(Py<PyBytes>, u32, u32)>> {
    let read = || {
        let images = singer::data::Images::open(&places, Split::Train)?.into_set(Some(limit))?;
        let images = images.with_scene_side(side).sample(limit);
        (0..images.len()).map(|index| images.read(index)).collect::<singer::Result<Vec<_>>>()
    };
    let images = raised(py, py.detach(read))?.into_iter();
    let bytes = |image: &RgbImage| PyBytes::new(py, image.as_raw()).unbind();
    Ok(images.map(|image| (bytes(&image), image.height(), image.width())).collect())
}

/// Where images are.
#[derive(FromPyObject)]
pub(crate) enum Images {
    InMemory(Py<Pictures>),
    Places(Vec<String>),
}

impl Images {
    /// The images in memory; none where they are at places.
    pub(crate) fn in_memory(&self) -> Option<ImageSet> {
        match self {
            Self::InMemory(pictures) => {
                Some(ImageSet::new(InMemory(pictures.get().images.clone())))
            }
            Self::Places(_) => None,
        }
    }

    /// As a set, of shards at most `limit` images.
    pub(crate) fn open(&self, py: Python<'_>, limit: usize) -> PyResult<ImageSet> {
        match self {
            Self::InMemory(_) => Ok(self.in_memory().expect("they are in memory")),
            Self::Places(places) => {
                let images = singer::data::Images::open(places, Split::Train);
                raised(py, images.and_then(|images| images.into_set(Some(limit))))
            }
        }
    }
}
