//! Models for other runtimes: timm, transformers and ONNX.
//!
//! Each format is a package: named files as plain data, whose weights are read, laid out
//! and rounded one tensor at a time while a file is written.
//! [`Model::export_to`](crate::Model::export_to) is the way in.

mod card;
mod destination;
mod dtype;
mod file;
mod metadata;
mod onnx;
pub(crate) mod protobuf;
mod provenance;
mod safetensors;
mod tensors;
mod timm;
mod timm_preprocess;
mod transformers;

pub use card::{Card, Fact};
pub(crate) use destination::Destination;
pub use dtype::WeightDtype;
pub use metadata::{HubMetadata, Measurement};
pub use provenance::Provenance;
#[cfg(feature = "figures")]
pub(crate) use provenance::plain;
pub(crate) use provenance::{MODEL, RUN_FILE, STUDENT};

use std::path::{Path, PathBuf};

use crate::data::Preprocess;
use crate::error::{Error, Result};
use crate::vit::{Preset, Vit, VitConfig, preset};
use onnx::OnnxLayout;
use tensors::ModelTensors;
use timm_preprocess::TimmPreprocess;

/// What is to read an exported model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// timm: a folder for `timm.create_model("local-dir:DIR")` and the hub, with a model
    /// card.
    Timm,
    /// transformers: the folder of the class that computes the same, for
    /// `from_pretrained`, with a model card.
    Transformers,
    /// ONNX, opset 17: input `image` `[N, 3, H, W]`, normalised; outputs `features`
    /// `[N, T, D]` (all tokens after the final norm), `pooled` `[N, D]` and, where there
    /// is a head, `logits` `[N, classes]`; all f32.
    Onnx,
}

impl Format {
    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::Transformers => "transformers",
            Self::Onnx => "ONNX",
        }
    }
}

/// Choices of an export.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Type of the weights.
    pub dtype: WeightDtype,
    /// Of ONNX: whether weights have a file of their own also below 2 GiB.
    pub external_data: bool,
    /// Whether files that are there may be replaced.
    pub replace: bool,
}

/// What an export wrote.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exported {
    /// Paths and sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// How to load the model, and what to know of it, a line each.
    pub notes: Vec<String>,
    /// Values too small for the weights' type, which became zero.
    pub vanished: usize,
}

/// A model to export.
pub(crate) struct Exporter<'a> {
    /// The model's timm name.
    arch: &'a str,
    /// Its shape.
    config: &'a VitConfig,
    /// Its images.
    preprocessing: TimmPreprocess,
    weights: ModelTensors,
    /// Where it comes from.
    card: &'a Card,
}

impl<'a> Exporter<'a> {
    pub(crate) fn new(
        vit: &Vit,
        arch: &'a str,
        config: &'a VitConfig,
        preprocess: &Preprocess,
        card: &'a Card,
    ) -> Self {
        let preprocessing = TimmPreprocess::of(preprocess, config.img_size);
        Self { arch, config, preprocessing, weights: ModelTensors::of(vit), card }
    }

    /// Writes all files of the format, or, where one fails, none of them.
    pub(crate) fn write(
        &self,
        format: Format,
        path: &Path,
        options: &ExportOptions,
    ) -> Result<Exported> {
        let destination = Destination::of(format, path)?;
        destination.check(options.replace)?;
        let dtype = options.dtype;
        let package = match format {
            Format::Timm => timm::package(self, dtype),
            Format::Transformers => transformers::package(self, dtype),
            Format::Onnx => {
                let layout =
                    OnnxLayout { file: destination.onnx_file(), external: options.external_data };
                onnx::package(self, dtype, &layout)
            }
        };
        destination.write(package?, dtype)
    }

    /// The published model of this name, where there is one.
    fn preset(&self) -> Option<&'static Preset> {
        preset(self.arch)
    }

    /// The error of a format that lacks something.
    fn refuse(&self, format: Format, reason: impl Into<String>) -> Error {
        Error::Export {
            arch: self.arch.into(),
            format: format.name(),
            reason: reason.into(),
            without_head: false,
        }
    }
}

/// The f64 that prints as the f32 does.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
