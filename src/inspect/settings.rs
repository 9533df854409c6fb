use crate::error::{Error, Result};

/// What an inspection measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Teacher layers to look into, from 0, ascending.
    pub layers: Vec<usize>,
    /// γ: an outlier's norm exceeds this quantile of its image's norms.
    pub quantile: f64,
    /// Row and column of the patch that the others are compared with; none for
    /// the one with the largest norm after the last inspected layer.
    pub mark: Option<[usize; 2]>,
    /// α of the closed form, see [`TrainingFree`](crate::refine::TrainingFree).
    pub training_free: Option<f64>,
    /// Rank of the reader blocks' bases.
    pub rank: usize,
    /// Whether to put changed features back into the teacher.
    pub inject: bool,
    /// Images in a batch.
    pub batch: usize,
}

impl Settings {
    /// Rejects settings that cannot work for a teacher.
    pub(super) fn check(&self, depth: usize, width: usize) -> Result<()> {
        let unit = |name: &str, value: f64| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!("the {name} is {value}; it must lie between 0 and 1")))
        };
        unit("quantile", self.quantile)?;
        unit("training-free share", self.training_free.unwrap_or(1.0))?;
        if let Some(layer) = self.layers.iter().find(|&&layer| layer >= depth) {
            return Err(Error::config(format!(
                "there is no layer {layer}; the teacher's are 0 to {}",
                depth - 1
            )));
        }
        if self.layers.is_empty() || !self.layers.is_sorted_by(|a, b| a < b) {
            return Err(Error::config("name at least one layer, each once and in ascending order"));
        }
        if self.rank == 0 || self.rank > width {
            return Err(Error::config(format!(
                "the rank is {}; it must lie between 1 and the teacher's width {width}",
                self.rank
            )));
        }
        if self.batch == 0 {
            return Err(Error::config("a batch needs at least one image"));
        }
        Ok(())
    }
}
