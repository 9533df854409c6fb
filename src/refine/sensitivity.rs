//! Which directions of its input a whole block reads, at real tokens.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use faer::Mat;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::ImageBatches;
use super::nullspace::{Basis, check_rank, left_singular, next_block, row_major};
use crate::error::{Error, Result};
use crate::readback::read;
use crate::statistics::median;
use crate::tokens::patch_norms;
use crate::vit::Vit;

/// Random cotangents for each batch of images.
const PROBES: usize = 4;

/// How strongly a block reads each direction of a patch token: `G = E[J Jᵀ]`, `[D, D]`, where J
/// is the Jacobian of what the whole block adds to its input, `f(x) = block(x) − x`, with
/// attention and LayerNorm: `|u G uᵀ|^{1/2}` is the change, over all tokens of the image, that a
/// small step along the unit vector u makes in one patch, root mean square over patches of real
/// images.
///
/// The linearised block ([`Linearised`](super::nullspace::Linearised)) is the MLP alone, without
/// activation and LayerNorm, the same for all tokens. Neither says what a large step does: see
/// [`drift`].
#[derive(Debug, Clone)]
pub struct Sensitivity {
    /// Sum of `g gᵀ` over samples.
    sum: Mat<f64>,
    samples: usize,
    block: usize,
}

impl Sensitivity {
    /// Of the block that reads the tokens leaving `layer` (for the last one that block itself,
    /// at the tokens entering it), on images of the plain device.
    ///
    /// With cotangents v of independent signs, `E[v vᵀ] = I`, each backward pass gives `J v` at
    /// every patch, and `E[(J v)(J v)ᵀ] = E[J Jᵀ]`.
    ///
    /// # Errors
    /// [`Error::NoImages`], [`Error::NoSuchLayer`], [`Error::Gpu`]; errors of the images.
    pub fn of<I: ImageBatches + ?Sized>(
        vit: &Vit,
        layer: usize,
        images: &I,
        seed: u64,
    ) -> Result<Self> {
        let (block, entering) = reader(vit, layer)?;
        let training = vit.device().autodiff();
        let reader = vit.blocks[block].clone().fork(&training).freeze();
        let tokens = images.batches()?.map(|batch| Ok(entering(batch?)));
        let added = |x: Tensor<3>| reader.forward(x.clone()) - x;
        let sensitivity = Self::of_map(added, tokens, vit.prefix_tokens(), seed)?;
        Ok(Self { block, ..sensitivity })
    }

    /// Of any map on tokens of the training device, `[B, T, D] -> [B, T, D]`, at given ones of the
    /// plain device, whose first `prefix` tokens are no patches.
    ///
    /// # Errors
    /// [`Error::NoImages`] where there are no tokens, [`Error::Gpu`].
    pub fn of_map(
        map: impl Fn(Tensor<3>) -> Tensor<3>,
        tokens: impl IntoIterator<Item = Result<Tensor<3>>>,
        prefix: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut found: Option<Self> = None;
        for tokens in tokens {
            let tokens = tokens?;
            let [_, count, dim] = tokens.dims();
            for _ in 0..PROBES {
                let x = Tensor::from_inner(tokens.clone()).require_grad();
                let probe = signs(tokens.dims(), &mut rng, &tokens.device());
                let along = (map(x.clone()) * Tensor::from_inner(probe)).sum();
                let gradients = along.backward();
                let Some(gradient) = x.grad(&gradients) else { continue };
                let rows = read(gradient.narrow(1, prefix, count - prefix))?;
                let patches = rows.len() / dim;
                let rows = Mat::from_fn(patches, dim, |i, j| f64::from(rows[i * dim + j]));
                let gram = rows.transpose() * &rows;
                let found = found.get_or_insert_with(|| Self {
                    sum: Mat::zeros(dim, dim),
                    samples: 0,
                    block: 0,
                });
                found.sum += gram;
                found.samples += patches;
            }
        }
        found.ok_or(Error::NoImages)
    }

    /// G, row-major `[D, D]`.
    pub fn to_rows(&self) -> Vec<f64> {
        let mean = &self.sum * faer::Scale(1.0 / self.samples as f64);
        row_major(mean.as_ref())
    }

    /// The r directions that are read least: the eigenvectors of G with the smallest
    /// eigenvalues. The basis's spectrum holds the eigenvalues' roots, so that, as for the
    /// linearised block, a value is the change for a step of one.
    ///
    /// # Errors
    /// [`Error::Setting`] for a rank of 0 or above D, [`Error::Svd`] where G is not finite.
    pub fn basis(&self, rank: usize) -> Result<Basis> {
        let dim = self.sum.nrows();
        check_rank(rank, dim)?;
        let (vectors, values) = left_singular(self.sum.as_ref()).ok_or(Error::Svd(self.block))?;
        let root = |value: f64| (value.max(0.0) / self.samples as f64).sqrt();
        let spectrum: Vec<f64> = values.into_iter().map(root).collect();
        let residual = spectrum[dim - rank];
        Ok(Basis::of(vectors.subcols(dim - rank, rank).to_owned(), spectrum, residual))
    }
}

/// How far what a block adds moves when artifacts are put into its input, see [`drift`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Norm of the step over the median patch norm.
    pub size: f64,
    /// `‖f(x + δ) − f(x)‖ / ‖f(x)‖` on the patches with a step, mean.
    pub touched: f64,
    /// The same on the other patches, which attention alone reaches.
    pub others: f64,
}

/// Measures what a basis leaves of the promise that the next block's output does not change:
/// one patch in 32 gets a step of random direction within the basis, of each of the `sizes`
/// times the median patch norm, and the block that reads the tokens leaving `layer` is run on
/// both. `f(x) = block(x) − x`, so that the step itself, which the skip connection carries
/// on, does not count.
///
/// # Errors
/// [`Error::NoImages`], [`Error::NoSuchLayer`], [`Error::Gpu`]; errors of the images.
pub fn drift<I: ImageBatches + ?Sized>(
    vit: &Vit,
    layer: usize,
    basis: &Basis,
    images: &I,
    sizes: &[f64],
    seed: u64,
) -> Result<Vec<Drift>> {
    /// One patch in so many.
    const ONE_IN: usize = 32;
    let (block, entering) = reader(vit, layer)?;
    let (reader, prefix) = (&vit.blocks[block], vit.prefix_tokens());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sums = vec![[[0.0_f64; 2]; 2]; sizes.len()];
    let directions = basis.to_tensor(&vit.device()).transpose();
    for batch in images.batches()? {
        let tokens = entering(batch?);
        let [batch, count, dim] = tokens.dims();
        let rank = basis.rank();
        let typical = median(&read(patch_norms(tokens.clone(), prefix))?);
        let mut touched = vec![false; batch * count];
        let mut mixture = vec![0.0_f32; batch * count * rank];
        for (place, weights) in mixture.chunks_mut(rank).enumerate() {
            let chosen = rng.random_range(0..ONE_IN) == 0 && place % count >= prefix;
            if chosen {
                touched[place] = true;
                random_unit(weights, &mut rng);
            }
        }
        let mixture = TensorData::new(mixture, [batch * count, rank]);
        let steps = Tensor::<2>::from_data(mixture, &vit.device()).matmul(directions.clone());
        let steps = steps.reshape([batch, count, dim]) * typical;
        let added = |x: Tensor<3>| reader.forward(x.clone()) - x;
        let norm = |x: Tensor<3>| read(x.square().sum_dim(2).sqrt());
        let before = added(tokens.clone());
        let size_before = norm(before.clone())?;
        for (sums, &size) in sums.iter_mut().zip(sizes) {
            let after = added(tokens.clone() + steps.clone() * size);
            let change = norm(after - before.clone())?;
            for place in (0..batch * count).filter(|place| place % count >= prefix) {
                let relative = f64::from(change[place] / size_before[place].max(1e-12));
                let [sum, seen] = &mut sums[usize::from(touched[place])];
                *sum += relative;
                *seen += 1.0;
            }
        }
    }
    if sums.iter().flatten().any(|[_, seen]| *seen == 0.0) {
        return Err(Error::NoImages);
    }
    let mean = |[sum, seen]: [f64; 2]| sum / seen;
    let drift = |(&size, sums): (&f64, [[f64; 2]; 2])| {
        let [others, touched] = sums.map(mean);
        Drift { size, touched, others }
    };
    Ok(sizes.iter().zip(sums).map(drift).collect())
}

/// The block that reads the tokens leaving a layer, and the tokens `[B, T, D]` that enter it.
fn reader(vit: &Vit, layer: usize) -> Result<(usize, impl Fn(Tensor<4>) -> Tensor<3>)> {
    let depth = vit.depth();
    if layer >= depth {
        return Err(Error::NoSuchLayer { layer, depth });
    }
    let block = next_block(layer, depth);
    Ok((block, move |images| vit.forward_blocks(vit.embed(images), 0..block)))
}

/// 1 or −1 each, independent.
fn signs(shape: [usize; 3], rng: &mut impl Rng, device: &Device) -> Tensor<3> {
    let mut draw = || if rng.random_bool(0.5) { 1.0_f32 } else { -1.0 };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn random_unit(entries: &mut [f32], rng: &mut impl Rng) {
    entries.iter_mut().for_each(|entry| *entry = StandardNormal.sample(rng));
    let norm = entries.iter().map(|entry| entry * entry).sum::<f32>().sqrt();
    entries.iter_mut().for_each(|entry| *entry /= norm);
}
