use super::Comparison;
use crate::error::{Error, Result};

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
    pub(super) mark: Option<[usize; 2]>,
    pub(super) training_free: Option<f64>,
    pub(super) rank: usize,
    pub(super) inject: bool,
    pub(super) batch: usize,
}

impl Inspection {
    /// Fills in the defaults and rejects settings that do not fit the models.
    pub(super) fn resolve(&self, compared: &Comparison) -> Result<Settings> {
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
        Ok(Settings {
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
