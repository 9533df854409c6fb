use super::context::Stage;
use super::{Gpu, attention, colormap, layer_norm, linear, low_rank_refine, norm_quantile};
use super::{patch_norm, unfold};
use crate::error::Result;

/// What the maps of nearly every model need, in the order of their use.
static USUAL: [&Stage; 9] = [
    &unfold::UNFOLD,
    &linear::RESIDUAL,
    &layer_norm::LAYER_NORM,
    &linear::PLAIN,
    &attention::ATTENTION,
    &low_rank_refine::FOUR,
    &patch_norm::FOUR,
    &norm_quantile::STAGE,
    &colormap::PLAIN,
];

impl Gpu {
    /// Has the shaders compiled that nearly every model needs. A browser does that
    /// beside the page, so that it is done by the time a model is loaded; elsewhere
    /// this waits for it.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) where the device is lost.
    pub fn warm_up(&self) -> Result<()> {
        USUAL.iter().try_for_each(|stage| self.pipeline(stage).map(drop))
    }
}
