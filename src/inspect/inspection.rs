use super::{Comparison, VisualKind};
use crate::error::{Error, Result};
use crate::maps::FineFeatures;

/// What an inspection measures; [`Inspection::run`] does it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// Teacher layers to inspect, from 0. Empty: those of the run, or without a run the
    /// layer at 17/24 of the teacher's depth and the last one.
    pub layers: Vec<usize>,
    /// γ: an outlier's norm exceeds this quantile of its image's norms; 0 to 1.
    pub quantile: f64,
    /// Row and column of the patch that the others are compared with. `None`: the
    /// patch with the largest norm after the last inspected layer.
    pub mark: Option<[usize; 2]>,
    /// The image, from 0, in which that patch is; the others then have their own. `None`: it is
    /// marked in every image.
    pub marked_image: Option<usize>,
    /// Further maps.
    pub visuals: Vec<VisualKind>,
    /// For principal components: patches whose first component lies below this many of its
    /// standard deviations are background, and have no colour. `None`: all patches have one.
    pub foreground: Option<f64>,
    /// Number of segments.
    pub segments: usize,
    /// Of the segments' first centres.
    pub seed: u64,
    /// Principal components, segments and nearest patches come from means over this many squared
    /// shifted copies of each image, on a grid so many times finer; see
    /// [`FineFeatures`](crate::maps::FineFeatures). 1: from the image alone.
    pub shifts: usize,
    /// α of the training-free refinement, 0 to 1, see
    /// [`TrainingFree`](crate::refine::TrainingFree); `None` leaves it
    /// out.
    pub training_free: Option<f64>,
    /// Rank of the nullspace bases, at most the teacher's width. `None`: 64, or the
    /// width where that is smaller.
    pub rank: Option<usize>,
    /// Whether to put changed features back into the teacher.
    pub inject: bool,
    /// Images per batch.
    pub batch: usize,
}

impl Default for Inspection {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            quantile: 0.97,
            mark: None,
            marked_image: None,
            visuals: Vec::new(),
            foreground: None,
            segments: 6,
            seed: 0,
            shifts: 1,
            training_free: None,
            rank: None,
            inject: false,
            batch: 8,
        }
    }
}

/// The default rank of the bases.
const RANK: usize = 64;

/// An inspection with its defaults filled in.
#[derive(Debug)]
pub(super) struct Settings {
    /// In ascending order.
    pub(super) layers: Vec<usize>,
    pub(super) quantile: f64,
    mark: Option<[usize; 2]>,
    /// Where the mark is in one image alone.
    only_in: Option<usize>,
    /// The image whose marked patch the others are searched for.
    pub(super) marked_image: usize,
    pub(super) visuals: Vec<VisualKind>,
    pub(super) foreground: Option<f64>,
    pub(super) segments: usize,
    pub(super) seed: u64,
    pub(super) shifts: usize,
    pub(super) training_free: Option<f64>,
    pub(super) rank: usize,
    pub(super) inject: bool,
    pub(super) batch: usize,
}

impl Settings {
    /// The patch that the settings mark in an image.
    pub(super) fn mark_in(&self, image: usize) -> Option<[usize; 2]> {
        self.mark.filter(|_| self.only_in.is_none_or(|only| only == image))
    }
}

impl Inspection {
    /// With some settings changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Fills in the defaults and rejects settings that do not fit the models.
    pub(super) fn resolve(&self, compared: &Comparison, images: usize) -> Result<Settings> {
        let (depth, width) = (compared.teacher.vit().depth(), compared.teacher.vit().embed_dim());
        let unit = |name, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::setting(name, value, "it must lie between 0 and 1")),
        };
        unit("quantile", self.quantile)?;
        unit("training_free", self.training_free.unwrap_or(1.0))?;
        let mut layers = self.layers.clone();
        if layers.is_empty() {
            layers = compared.run.iter().map(|parts| parts.layer).collect();
        }
        if layers.is_empty() {
            let last = depth - 1;
            layers = vec![(depth * 17 / 24).min(last.saturating_sub(1)), last];
        }
        layers.sort_unstable();
        layers.dedup();
        if let Some(&layer) = layers.iter().find(|&&layer| layer >= depth) {
            return Err(Error::NoSuchLayer { layer, depth });
        }
        let rank = self.rank.unwrap_or(RANK.min(width));
        if rank == 0 || rank > width {
            let expected = format!("it must lie between 1 and the teacher's width {width}");
            return Err(Error::setting("rank", rank, expected));
        }
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "a batch needs at least one image"));
        }
        if let Some(image) = self.marked_image.filter(|&image| image >= images) {
            let expected = format!("there are {images} images, counted from 0");
            return Err(Error::setting("marked_image", image, expected));
        }
        FineFeatures::check(self.shifts, compared.teacher.config().patch_size)?;
        if self.segments == 0 {
            return Err(Error::setting("segments", 0, "there must be at least one"));
        }
        if let Some(value) = self.foreground.filter(|value| !value.is_finite()) {
            return Err(Error::setting("foreground", value, "it must be a number"));
        }
        Ok(Settings {
            only_in: self.marked_image,
            marked_image: self.marked_image.unwrap_or(0),
            visuals: self.visuals.clone(),
            foreground: self.foreground,
            segments: self.segments,
            seed: self.seed,
            shifts: self.shifts,
            layers,
            quantile: self.quantile,
            mark: self.mark,
            training_free: self.training_free,
            rank,
            inject: self.inject,
            batch: self.batch,
        })
    }
}
