use std::path::Path;
use std::sync::Arc;

use super::pairs::Pairs;
use super::{DenseSet, Truth, check_pairs, png};
use crate::data::{ImageSet, SharedImages};
use crate::error::{Error, Result};

/// The folder of depth maps beside `images`.
const FOLDER: &str = "depth";

/// A depth for each pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    /// Height and width.
    pub size: [usize; 2],
    /// Row-major, in metres; 0 where it is not known.
    pub metres: Vec<f32>,
}

impl Truth for DepthMap {
    fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// Images with depth maps: `images/NAME.jpg` (or `.png`) and the 16-bit greyscale
/// PNG file `depth/NAME.png`, in a folder or a zip file, in any nesting that both
/// share.
#[derive(Debug)]
pub struct DepthPairs {
    pairs: Pairs,
    unit: f32,
}

impl DepthPairs {
    /// Opens `set`, `set/images/train`, …, and reads all its depth maps once.
    /// `unit` is the length in metres that the number 1 stands for: 0.001 for
    /// millimetres.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the file's name, where an image has no
    /// depth map, or one has not its image's shape or is no 16-bit PNG file.
    pub fn open(path: &Path, unit: f32) -> Result<Self> {
        let set = Self { pairs: Pairs::open(path, FOLDER)?, unit };
        let all: Vec<usize> = (0..set.pairs.images.len()).collect();
        check_pairs(&set, &all, |_, _| Ok(()))?;
        Ok(set)
    }
}

impl DenseSet for DepthPairs {
    type Truth = DepthMap;

    fn images(&self) -> SharedImages {
        Arc::clone(&self.pairs.images) as SharedImages
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
        let png::Numbers { size, values, bits, indexed } =
            png::numbers(&self.pairs.truth_bytes(index)?, path, wanted)?;
        if bits != 16 || indexed {
            return Err(Error::data(path, format!("has {bits} bits a pixel; {wanted}")));
        }
        let metres = values.into_iter().map(|number| f32::from(number) * self.unit).collect();
        Ok(DepthMap { size, metres })
    }
}
