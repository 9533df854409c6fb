//! Models for other runtimes: timm, transformers and ONNX.
//!
//! Each form is a [`Package`]: named files as plain data, whose weights are read,
//! laid out and rounded one tensor at a time while a file is written. Nothing
//! here touches the disk.

mod card;
mod file;
mod onnx;
mod precision;
mod preprocessing;
mod safetensors;
mod timm;
mod transformers;
mod weights;

pub use card::{Card, Fact};
pub use file::{ExportFile, Package};
pub use onnx::{OPSET, OnnxLayout};
pub use precision::{Precision, Rounding};
pub use preprocessing::Preprocessing;

use crate::error::Result;
use crate::vit::{Preset, Vit, VitConfig, preset};
use weights::Weights;

/// A model that is to leave.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The model's timm name.
    pub arch: &'a str,
    /// Its shape.
    pub config: &'a VitConfig,
    /// Its images.
    pub preprocessing: Preprocessing,
    weights: Weights,
}

impl<'a> Subject<'a> {
    /// A model with its name and shape.
    pub fn new(
        vit: &Vit,
        arch: &'a str,
        config: &'a VitConfig,
        preprocessing: Preprocessing,
    ) -> Self {
        Self { arch, config, preprocessing, weights: Weights::of(vit) }
    }

    /// For timm: its folder layout (`local-dir:` and the hub), with a card.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where the name is not timm's or
    /// timm has no argument for the shape's departure from it.
    pub fn timm(&self, precision: Precision, card: &Card) -> Result<Package<'_>> {
        timm::package(self, precision, card)
    }

    /// The Python call that makes the model in timm, without weights.
    ///
    /// # Errors
    /// As [`Subject::timm`].
    pub fn timm_call(&self) -> Result<String> {
        timm::call(self)
    }

    /// For transformers: the class that computes the same, with a card.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where transformers has no such class.
    pub fn transformers(&self, precision: Precision, card: &Card) -> Result<Package<'_>> {
        transformers::package(self, precision, card)
    }

    /// For ONNX: input `image` `[N, 3, H, W]`, normalised; outputs `features`
    /// `[N, T, D]` (all tokens after the final norm), `pooled` `[N, D]` and, where
    /// there is a head, `logits` `[N, classes]`; all f32.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for [`Precision::Bf16`].
    pub fn onnx(&self, precision: Precision, layout: &OnnxLayout) -> Result<Package<'_>> {
        onnx::package(self, precision, layout)
    }

    /// The published model of this name, where there is one.
    fn preset(&self) -> Option<&'static Preset> {
        preset(self.arch)
    }
}

/// The f64 that prints as the f32 does.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
