//! Feature maps: norms, outliers, refinement and similarity of patch tokens, on
//! whichever device the tokens are.

mod colouring;

use burn::tensor::{Int, Tensor, TensorData};
use image::RgbaImage;

use crate::device::OpenDevice;
use crate::error::{Error, Result};
use crate::loss::{gram, quantile};
use crate::refine::patch_norms;

pub use colouring::{ColourRange, Colouring, Palette, Upsampling, draw, extent};

/// The outliers of a batch: patches whose norm exceeds their image's quantile.
#[derive(Debug, Clone)]
pub struct Outliers {
    /// The quantile of each image, `[B, 1]`.
    pub threshold: Tensor<2>,
    /// 1 where the norm is above it, else 0, `[B, P]`.
    pub mask: Tensor<2>,
    /// How many are above it, `[B, 1]`.
    pub count: Tensor<2>,
}

/// The operations on feature maps of one device.
///
/// Every method takes tokens outside any autodiff graph.
#[derive(Debug, Clone)]
pub struct FeatureMaps {}

impl FeatureMaps {
    /// For tensors of this device.
    pub fn new(_opened: &OpenDevice) -> Self {
        Self {}
    }

    /// L2 norm of every patch token, `[B, T, D] -> [B, P]`; the first `prefix`
    /// tokens (class, registers) are left out.
    pub fn norms(&self, tokens: Tensor<3>, prefix: usize) -> Result<Tensor<2>> {
        check_prefix(&tokens, prefix)?;
        Ok(patch_norms(tokens, prefix))
    }

    /// The `q`-quantile of each image's norms `[B, P]`, and what exceeds it.
    pub fn outliers(&self, norms: Tensor<2>, q: f64) -> Result<Outliers> {
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::config(format!("the quantile is {q}; it must lie between 0 and 1")));
        }
        let shape = norms.dims();
        let threshold = quantile(norms.clone(), q);
        let mask = norms.greater(threshold.clone().expand(shape)).float();
        let count = mask.clone().sum_dim(1);
        Ok(Outliers { threshold, mask, count })
    }

    /// `F̂ = F + (F Φ_down) Φ_up` on patch tokens: `[B, T, D]`, `[D, r]`, `[r, D]`
    /// to `[B, T, D]`; the first `prefix` tokens pass unchanged.
    pub fn refine(
        &self,
        tokens: Tensor<3>,
        down: Tensor<2>,
        up: Tensor<2>,
        prefix: usize,
    ) -> Result<Tensor<3>> {
        check_prefix(&tokens, prefix)?;
        let count = tokens.dims()[1] - prefix;
        let fixed = tokens.clone().narrow(1, 0, prefix);
        let patches = tokens.narrow(1, prefix, count);
        let shift = patches.clone().matmul(down.unsqueeze()).matmul(up.unsqueeze());
        Ok(Tensor::cat(vec![fixed, patches + shift], 1))
    }

    /// Cosine similarity of every patch to the `marked` one of its image (one
    /// index a image, from 0): `[B, T, D] -> [B, P]`.
    pub fn cosine_to(
        &self,
        tokens: Tensor<3>,
        marked: &[usize],
        prefix: usize,
    ) -> Result<Tensor<2>> {
        check_prefix(&tokens, prefix)?;
        let [batch, count, dim] = tokens.dims();
        let patches = count - prefix;
        if marked.len() != batch || marked.iter().any(|&index| index >= patches) {
            return Err(Error::config(format!(
                "marked patches {marked:?} do not fit {batch} images of {patches} patches"
            )));
        }
        let index: Vec<i32> = marked.iter().map(|&index| (index + prefix) as i32).collect();
        let index = TensorData::new(index, [batch, 1, 1]);
        let index = Tensor::<3, Int>::from_data(index, &tokens.device()).expand([batch, 1, dim]);
        let chosen = tokens.clone().gather(1, index);
        let tokens = tokens.narrow(1, prefix, patches);
        Ok(cosine(tokens, chosen.expand([batch, patches, dim])))
    }

    /// Cosine similarity patch by patch of two feature maps: `[B, T, D]` and
    /// `[B, T', D]` to `[B, P]`, with the number of prefix tokens of each.
    pub fn cosine_between(
        &self,
        a: Tensor<3>,
        b: Tensor<3>,
        prefix: [usize; 2],
    ) -> Result<Tensor<2>> {
        check_prefix(&a, prefix[0])?;
        check_prefix(&b, prefix[1])?;
        let ([batch_a, tokens_a, dim_a], [batch_b, tokens_b, dim_b]) = (a.dims(), b.dims());
        let patches = [tokens_a - prefix[0], tokens_b - prefix[1]];
        if (batch_a, dim_a, patches[0]) != (batch_b, dim_b, patches[1]) {
            return Err(Error::config(format!(
                "cannot compare {batch_a}x{}x{dim_a} patches with {batch_b}x{}x{dim_b}",
                patches[0], patches[1]
            )));
        }
        let a = a.narrow(1, prefix[0], patches[0]);
        Ok(cosine(a, b.narrow(1, prefix[1], patches[1])))
    }

    /// Gram matrix of the patch tokens scaled to unit length, `[B, T, D] -> [B, P, P]`.
    pub fn gram(&self, tokens: Tensor<3>, prefix: usize) -> Result<Tensor<3>> {
        check_prefix(&tokens, prefix)?;
        Ok(gram(tokens, prefix))
    }

    /// Mean squared difference of two Gram matrices, image by image:
    /// `[B, T, D]` twice to `[B, 1]`.
    pub fn gram_distance(&self, a: Tensor<3>, b: Tensor<3>, prefix: usize) -> Result<Tensor<2>> {
        let difference = (self.gram(a, prefix)? - self.gram(b, prefix)?).square();
        let batch = difference.dims()[0];
        Ok(difference.mean_dim(2).mean_dim(1).reshape([batch, 1]))
    }

    /// A map `[h, w]` as a picture of `size` `[H, W]` pixels, over an image of
    /// that size where given.
    pub fn picture(
        &self,
        map: Tensor<2>,
        size: [usize; 2],
        colouring: &Colouring,
        under: Option<&RgbaImage>,
    ) -> Result<RgbaImage> {
        let grid = map.dims();
        let fits = |image: &RgbaImage| [image.height(), image.width()] == size.map(|n| n as u32);
        if size.contains(&0) || grid.contains(&0) || under.is_some_and(|image| !fits(image)) {
            return Err(Error::config(format!(
                "cannot draw a map of {grid:?} patches at {size:?} pixels"
            )));
        }
        let values: Vec<f32> = map.into_data().iter::<f32>().collect();
        Ok(draw(&values, grid, size, colouring, under))
    }
}

fn check_prefix(tokens: &Tensor<3>, prefix: usize) -> Result<()> {
    let count = tokens.dims()[1];
    if prefix >= count {
        return Err(Error::config(format!(
            "{prefix} prefix tokens leave no patch of {count} tokens"
        )));
    }
    Ok(())
}

/// Along the last dimension; 0 where either vector is zero.
fn cosine(a: Tensor<3>, b: Tensor<3>) -> Tensor<2> {
    let norm = |x: &Tensor<3>| x.clone().square().sum_dim(2).sqrt();
    let product = (norm(&a) * norm(&b)).clamp_min(1e-24);
    ((a * b).sum_dim(2) / product).squeeze_dim::<2>(2)
}
