//! What the probes of pixels share: which images, at which size.

use super::args::{DenseArgs, OptimizerArg};
use super::subject::{Defaults, Subject};
use crate::cli::progress::Shown;
use crate::data::DenseSet;
use crate::error::{Error, Result};
use crate::probe::FeatureStore;
use crate::probe::features::View;

pub(super) const DEFAULTS: Defaults =
    Defaults { batch: 16, epochs: 20, optimizer: OptimizerArg::Adamw };

/// Features of some images of a dense set.
pub(super) struct DenseFeatures {
    pub(super) store: FeatureStore,
    /// The image in the set of each image that has features.
    pub(super) places: Vec<usize>,
    /// Patches along height and width.
    pub(super) grid: [usize; 2],
}

/// The size that the model sees.
pub(super) fn size(args: &DenseArgs, subject: &Subject) -> Result<[usize; 2]> {
    if args.limit == Some(0) {
        return Err(Error::config("--limit must be at least 1"));
    }
    let config = subject.model.config();
    let size = args.size.map_or(config.img_size, |size| size.0);
    let patch = config.patch_size;
    if size.iter().any(|side| !side.is_multiple_of(patch)) {
        return Err(Error::config(format!(
            "--size {}x{}: the model's patches are {patch}x{patch}; use {}x{}",
            size[0],
            size[1],
            size[0].div_ceil(patch) * patch,
            size[1].div_ceil(patch) * patch
        )));
    }
    Ok(size)
}

/// The features of every patch of a set's images.
pub(super) fn features<S: DenseSet + ?Sized>(
    subject: &Subject,
    set: &S,
    what: &str,
    size: [usize; 2],
    limit: Option<usize>,
    shown: &Shown,
) -> Result<DenseFeatures> {
    let all = set.images();
    let total = all.len();
    let images = limit.map_or(all.clone(), |limit| all.sample(limit));
    // As `sample` spreads them.
    let places = (0..images.len()).map(|index| index * total / images.len()).collect();
    let store = subject.features(what, &images, (size, View::Stretch), true, shown)?;
    let grid = size.map(|side| side / subject.model.config().patch_size);
    Ok(DenseFeatures { store, places, grid })
}

/// Evenly spread indices of at most `count` of `total`.
pub(super) fn spread(count: usize, total: usize) -> Vec<usize> {
    let count = count.min(total);
    (0..count).map(|index| index * total / count).collect()
}
