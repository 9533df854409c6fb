use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::{Error, Result};

pub(super) static NORM_QUANTILE: Shader<Params> = shader!("norm_quantile", "norm_quantile", [], []);

params! {
    /// Mirrors `Params` of shaders/norm_quantile.wgsl.
    pub(super) struct Params {
        images: u32,
        patches: u32,
        rank: u32,
        weight: f32,
    }
}

/// Where the results of [`NormQuantile`] go.
#[derive(Debug, Clone)]
pub struct Outliers {
    /// The quantile of each image, `[B]`.
    pub thresholds: Slice,
    /// 1 where the norm is above it, else 0, `[B, P]`.
    pub mask: Slice,
    /// How many are above it, `[B]`.
    pub counts: Slice,
}

/// Quantile of patch norms and outliers: `shaders/norm_quantile.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct NormQuantile;

impl NormQuantile {
    /// The `q`-quantile of each image's norms `[B, P]`, and what exceeds it. Norms are not
    /// negative; a NaN counts as larger than every number.
    ///
    /// # Errors
    /// [`Error::Setting`] for `q` outside 0 to 1, [`Error::Shape`] for no patch.
    pub fn record(
        recording: &mut Recording,
        norms: &Slice,
        [images, patches]: [usize; 2],
        q: f64,
        out: &Outliers,
    ) -> Result<()> {
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::setting("quantile", q, "it must lie between 0 and 1"));
        }
        if patches == 0 {
            return Err(Error::shape("norm_quantile", "there is no patch"));
        }
        for all in [norms, &out.mask] {
            all.check("norm_quantile, [B, P]", images * patches)?;
        }
        for one in [&out.thresholds, &out.counts] {
            one.check("norm_quantile, [B]", images)?;
        }
        let gpu = recording.gpu();
        let position = q * (patches - 1) as f64;
        let params = Params {
            images: images as u32,
            patches: patches as u32,
            rank: position.floor() as u32,
            weight: position.fract() as f32,
        };
        let slices = [(1, norms), (2, &out.thresholds), (3, &out.mask), (4, &out.counts)];
        recording.dispatch(&NORM_QUANTILE, &params, &slices, gpu.spread(images))
    }
}
