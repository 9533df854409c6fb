//! Maps of ground truth, and sets of images with one each.

use rayon::prelude::*;

use crate::data::image_set::ImageSet;
use crate::error::{Error, Result};

/// The label of a pixel without a class, which is ignored.
pub const VOID: u16 = u16::MAX;

/// A class for each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Height and width.
    pub size: [usize; 2],
    /// Row-major; a class, or [`VOID`].
    pub labels: Vec<u16>,
}

impl Truth for LabelMap {
    fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// A depth for each pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    /// Height and width.
    pub size: [usize; 2],
    /// Row-major, in metres; 0 where unknown.
    pub metres: Vec<f32>,
}

impl Truth for DepthMap {
    fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// Images with a ground-truth map each.
pub trait DenseSet: Send + Sync {
    /// The kind of map.
    type Truth: Truth;

    /// The images; their labels, where they have any, are not the truth.
    fn images(&self) -> ImageSet;

    /// Height and width of image `index`, from its header.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] where it cannot be read.
    fn image_size(&self, index: usize) -> Result<[usize; 2]>;

    /// What to call the map of image `index` in a message.
    fn truth_name(&self, index: usize) -> String;

    /// The map of image `index`, at the map's own size.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] where it cannot be read or holds invalid values.
    fn truth(&self, index: usize) -> Result<Self::Truth>;
}

/// A dense set whose maps are labels.
pub trait SegmentationSet: DenseSet<Truth = LabelMap> {
    /// Names of the classes; a label is an index into it.
    fn classes(&self) -> &[String];
}

/// A ground-truth map.
pub trait Truth: Send {
    /// Height and width.
    fn size(&self) -> [usize; 2];
}

/// Reads the maps of the images `indices` and calls `each` with every one; returns the
/// results, or the first error in the set's order.
///
/// # Errors
/// Those of reading, those of `each`, and [`Error::Data`] for a map whose aspect ratio is
/// not its image's; its size may differ.
pub fn check_pairs<S: DenseSet + ?Sized, T: Send>(
    set: &S,
    indices: &[usize],
    each: impl Fn(usize, S::Truth) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let look = |&index: &usize| {
        let truth = set.truth(index)?;
        let ([height, width], image) = (truth.size(), set.image_size(index)?);
        // Rounding a side moves the products by less than the other side.
        let fits = (height * image[1]).abs_diff(width * image[0]) <= image[0].max(image[1]);
        if !fits {
            return Err(Error::data(
                set.truth_name(index),
                format!(
                    "is {width}x{height}, its image {}x{}; make them of one shape",
                    image[1], image[0]
                ),
            ));
        }
        each(index, truth)
    };
    // Collected first, as rayon would give any of several errors.
    let looked: Vec<Result<T>> = indices.par_iter().map(look).collect();
    looked.into_iter().collect()
}
