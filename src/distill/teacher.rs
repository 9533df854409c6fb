#[cfg(not(target_family = "wasm"))]
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

#[cfg(not(target_family = "wasm"))]
use super::cache::{TeacherCache, cached};
#[cfg(not(target_family = "wasm"))]
use super::singer::LayerNorms;
#[cfg(not(target_family = "wasm"))]
use crate::error::{NotFiniteIn, Result};
#[cfg(not(target_family = "wasm"))]
use crate::readback::read;
use crate::refine::Refiner;
#[cfg(not(target_family = "wasm"))]
use crate::tokens::{NormStats, patch_norms};
use crate::vit::{Precision, Vit};

/// A frozen teacher on the plain device.
#[derive(Debug)]
pub struct Teacher {
    vit: Vit,
    refiner: Option<Refiner>,
    #[cfg(not(target_family = "wasm"))]
    cache: Option<(Arc<dyn TeacherCache>, String)>,
}

impl Teacher {
    /// Freezes `vit`.
    pub fn new(vit: Vit) -> Self {
        Self {
            vit: vit.no_grad(),
            refiner: None,
            #[cfg(not(target_family = "wasm"))]
            cache: None,
        }
    }

    /// The same teacher with its features refined on their way, logits with them.
    #[must_use]
    pub fn refined(self, refiner: Option<Refiner>) -> Self {
        Self {
            refiner,
            #[cfg(not(target_family = "wasm"))]
            cache: None,
            ..self
        }
    }

    /// The same teacher with its matrix products in `precision`. Half precision also halves the
    /// memory of the matrices.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        let mut vit = self.vit.clone().with_precision(precision);
        if let Some(half) = precision.half() {
            for block in &mut vit.blocks {
                let (attention, mlp) = (&mut block.attn, &mut block.mlp);
                let layers = [&mut attention.qkv, &mut attention.proj, &mut mlp.fc1, &mut mlp.fc2];
                for layer in layers {
                    layer.weight = Param::from_tensor(layer.weight.val().cast(half)).no_grad();
                }
            }
        }
        Self { vit, ..self }
    }

    /// The same teacher with what it computes kept in a cache of its weights and precision, or
    /// read from there; another refinement ([`refined`](Self::refined)) needs the cache anew.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn with_cache(self, cache: Option<Arc<dyn TeacherCache>>) -> Self {
        let refinement = match &self.refiner {
            Some(refiner) => refiner.fingerprint(),
            None => Some("raw".to_owned()),
        };
        Self { cache: cache.zip(refinement), ..self }
    }

    /// What refines its features; none where they are raw.
    pub fn refiner(&self) -> Option<&Refiner> {
        self.refiner.as_ref()
    }

    /// Patch norms of raw and refined features of `layers` over batches `[B, 3, H, W]`; none
    /// where nothing is refined.
    ///
    /// # Errors
    /// Those of the batches, and [`Error::Gpu`](crate::Error::Gpu).
    #[cfg(not(target_family = "wasm"))]
    pub fn norms(
        &self,
        layers: &[usize],
        batches: impl IntoIterator<Item = Result<Tensor<4>>>,
    ) -> Result<Vec<LayerNorms>> {
        if self.refiner.is_none() {
            return Ok(Vec::new());
        }
        let prefix = self.vit.prefix_tokens();
        let mut stats = vec![[NormStats::default(), NormStats::default()]; layers.len()];
        for images in batches {
            let images = images?;
            let raw = self.vit.intermediate(images.clone(), layers);
            let refined = self.tokens(images, layers);
            for ((raw, refined), [before, after]) in raw.into_iter().zip(refined).zip(&mut stats) {
                before.add(patch_norms(raw, prefix))?;
                after.add(patch_norms(refined, prefix))?;
            }
        }
        Ok(summaries(layers, stats))
    }

    /// The model.
    pub fn vit(&self) -> &Vit {
        &self.vit
    }

    /// Tokens leaving each of `layers`: `[B, 3, H, W]` to `[B, T, D]` each.
    pub fn tokens(&self, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        #[cfg(not(target_family = "wasm"))]
        if let Some((cache, refinement)) = &self.cache {
            let name = |layer| format!("{refinement}-block-{layer}");
            let names: Vec<String> = layers.iter().map(name).collect();
            return cached(cache.as_ref(), &images, &names, || {
                self.compute(images.clone(), layers)
            });
        }
        self.compute(images, layers)
    }

    fn compute(&self, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<3>> {
        match &self.refiner {
            Some(refiner) => refiner.intermediate(&self.vit, images, layers),
            None => self.vit.intermediate(images, layers),
        }
    }

    /// The head's logits: `[B, 3, H, W] -> [B, C]`.
    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let logits = |images| {
            let last = [self.vit.depth() - 1];
            let tokens = self.compute(images, &last).pop().expect("the last layer was asked for");
            self.vit.logits(tokens)
        };
        #[cfg(not(target_family = "wasm"))]
        if let Some((cache, refinement)) = &self.cache {
            let names = [format!("{refinement}-logits")];
            return cached(cache.as_ref(), &images, &names, || vec![logits(images.clone())])
                .remove(0);
        }
        logits(images)
    }
}

/// The norms of each layer, raw and refined, of which there are any.
#[cfg(not(target_family = "wasm"))]
pub(super) fn summaries(layers: &[usize], stats: Vec<[NormStats; 2]>) -> Vec<LayerNorms> {
    let summary = |(&layer, [raw, refined]): (&usize, [NormStats; 2])| {
        Some(LayerNorms { layer, raw: raw.summary()?, refined: refined.summary()? })
    };
    layers.iter().zip(stats).filter_map(summary).collect()
}

/// Looks through a teacher's pass over `images`, `[B, 3, H, W]`, for the first values that are
/// not finite.
#[cfg(not(target_family = "wasm"))]
pub(super) fn not_finite_in(vit: &Vit, images: &Tensor<4>) -> Result<NotFiniteIn> {
    let mut tokens = vit.embed(images.clone());
    let mut entering = largest(tokens.clone())?;
    let mut most = entering;
    if !entering.is_finite() {
        return Ok(NotFiniteIn::TeacherEmbedding);
    }
    for block in 0..vit.depth() {
        tokens = vit.forward_blocks(tokens, block..block + 1);
        let leaving = largest(tokens.clone())?;
        if !leaving.is_finite() {
            return Ok(NotFiniteIn::TeacherBlock { block, largest: entering });
        }
        entering = leaving;
        most = most.max(leaving);
    }
    match largest(vit.logits(tokens))?.is_finite() {
        true => Ok(NotFiniteIn::Beyond { largest: most }),
        false => Ok(NotFiniteIn::TeacherHead),
    }
}

/// The largest absolute value; infinite where one is no number.
#[cfg(not(target_family = "wasm"))]
fn largest<const D: usize>(values: Tensor<D>) -> Result<f32> {
    let values: Vec<f32> = read(values)?;
    let sizes = values.iter().map(|value| if value.is_nan() { f32::INFINITY } else { value.abs() });
    Ok(sizes.fold(0.0, f32::max))
}

/// A tensor of the plain device as a constant of the training graph of `device`; it shares
/// the memory.
pub fn as_constant<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}
