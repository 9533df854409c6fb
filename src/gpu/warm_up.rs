use super::compose::Source;
use super::{Gpu, attention, colormap, layer_norm, linear, low_rank_refine, norm_quantile};
use super::{patch_norm, unfold};
use crate::error::Result;

/// The shaders that the maps of nearly every model need, in order of use.
static USUAL: [&Source; 9] = [
    &unfold::UNFOLD.source,
    &linear::RESIDUAL.source,
    &layer_norm::LAYER_NORM.source,
    &linear::PLAIN.source,
    &attention::ATTENTION.source,
    &low_rank_refine::FOUR.source,
    &patch_norm::FOUR.source,
    &norm_quantile::NORM_QUANTILE.source,
    &colormap::PLAIN.source,
];

impl Gpu {
    /// Compiles the shaders that nearly every model needs. A browser does this in the
    /// background, while a model loads; elsewhere the call waits until it is done.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) where the device is lost.
    pub fn warm_up(&self) -> Result<()> {
        USUAL.iter().try_for_each(|source| self.pipeline(source).map(drop))
    }
}
