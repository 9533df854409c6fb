//! The classes of transformers that compute the same as a model, under the names
//! that their published checkpoints have: every version of transformers since 4.40
//! (DINOv3: 4.56) reads those.

mod clip;
mod dinov2;
mod dinov3;
mod preprocessor;
mod siglip;
mod vit;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dtype::WeightDtype;
use super::file::{ExportFile, Package};
use super::tensors::{LazyTensor, ModelTensors};
use super::{Exporter, Format, safetensors};
use crate::error::{Error, Result};
use crate::vit::{Activation, FinalNorm, Pooling, Positions, QkvBias, VitConfig};

/// A class of transformers and what it loads.
pub(super) struct Class<'a> {
    /// As in `architectures`.
    pub(super) name: &'static str,
    pub(super) config: Map<String, Value>,
    pub(super) tensors: BTreeMap<String, LazyTensor<'a>>,
    /// What `from_pretrained` needs besides the folder.
    pub(super) extra_argument: Option<&'static str>,
    /// The output's field with the model's one answer and its shape.
    pub(super) answer: (&'static str, &'static str),
    pub(super) processor: &'static str,
    /// What the user should know of the class.
    pub(super) notes: Vec<String>,
}

pub(super) fn package<'a>(exporter: &'a Exporter<'_>, dtype: WeightDtype) -> Result<Package<'a>> {
    let mut class = class(exporter)?;
    class.config.insert("architectures".into(), json!([class.name]));
    class.config.insert("dtype".into(), json!(dtype.torch_name()));
    let config = Value::Object(std::mem::take(&mut class.config));
    let readme = exporter.card.transformers(exporter, &class);
    let preprocessor = preprocessor::config(exporter, class.processor)?;
    let metadata = [("format", "pt".to_owned())];
    let extra = class.extra_argument.map(|extra| format!(", {extra}")).unwrap_or_default();
    let call = format!("transformers.{}.from_pretrained('FOLDER'{extra})", class.name);
    let mut notes = vec![format!("load it with {call}")];
    notes.append(&mut class.notes);
    Ok(Package {
        files: vec![
            safetensors::file("model.safetensors", class.tensors, &metadata, dtype),
            ExportFile::text("README.md", readme),
            ExportFile::text("preprocessor_config.json", format!("{preprocessor:#}\n")),
            ExportFile::text("config.json", format!("{config:#}\n")),
        ],
        notes,
    })
}

/// Chosen by what the model computes, not by its name.
fn class<'a>(exporter: &'a Exporter<'_>) -> Result<Class<'a>> {
    let config = exporter.config;
    without(
        exporter,
        &[
            (
                config.final_norm == FinalNorm::None && config.reg_tokens > 0,
                "C-RADIO's positions at one image size",
            ),
            (config.final_norm != FinalNorm::Tokens, "no norm after the last block"),
            (config.scale_mlp || config.scale_attn_inner, "a norm within MLPs or attention"),
        ],
    )?;
    match config.positions {
        Positions::LearnedAndRotary { .. } => {
            Err(refused(exporter, "both learned and rotary positions"))
        }
        Positions::Rotary { temperature } => dinov3::class(exporter, temperature),
        Positions::Learned if config.qkv_bias != QkvBias::All => {
            Err(refused(exporter, "attention without all of its biases"))
        }
        Positions::Learned if config.pre_norm => clip::class(exporter),
        Positions::Learned if !config.class_token => siglip::class(exporter),
        Positions::Learned if config.init_values.is_some() => dinov2::class(exporter),
        Positions::Learned => vit::class(exporter),
    }
}

/// The one error of models that transformers has no class for.
fn refused(exporter: &Exporter<'_>, what: &str) -> Error {
    exporter.refuse(Format::Transformers, format!("it has no class with {what}"))
}

/// The same for a head that the class does not have, which can be left out.
fn head_refused(exporter: &Exporter<'_>, what: &str) -> Error {
    match refused(exporter, what) {
        Error::Export { arch, format, reason, .. } => {
            Error::Export { arch, format, reason, without_head: true }
        }
        other => other,
    }
}

/// An error for each trait that the model has and the class has not.
fn without(exporter: &Exporter<'_>, traits: &[(bool, &str)]) -> Result<()> {
    match traits.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(refused(exporter, what)),
        None => Ok(()),
    }
}

/// Those which a class without registers, gains and gates lacks.
fn plain_blocks<'a>(config: &VitConfig) -> [(bool, &'a str); 3] {
    [
        (config.reg_tokens > 0, "register tokens"),
        (config.init_values.is_some(), "LayerScale"),
        (config.mlp == Activation::Swiglu, "gated MLPs"),
    ]
}

/// The name of an activation in transformers; SiLU is the gate's.
fn activation(mlp: Activation) -> &'static str {
    match mlp {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::QuickGelu => "quick_gelu",
        Activation::Swiglu => "silu",
    }
}

/// What every class' `config.json` says.
fn shape(config: &VitConfig, model_type: &str) -> Map<String, Value> {
    let [height, width] = config.img_size;
    let image_size = if height == width { json!(height) } else { json!([height, width]) };
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
    set("model_type", json!(model_type));
    set("image_size", image_size);
    set("patch_size", json!(config.patch_size));
    set("num_channels", json!(3));
    set("hidden_size", json!(config.embed_dim));
    set("num_hidden_layers", json!(config.depth));
    set("num_attention_heads", json!(config.num_heads));
    set("hidden_act", json!(activation(config.mlp)));
    set("layer_norm_eps", json!(config.norm_eps));
    map
}

/// Names for as many classes as the head has: transformers counts them so.
fn labels(config: &mut Map<String, Value>, classes: usize) {
    let names: Map<String, Value> =
        (0..classes).map(|class| (class.to_string(), json!(format!("LABEL_{class}")))).collect();
    let ids: Map<String, Value> =
        (0..classes).map(|class| (format!("LABEL_{class}"), json!(class))).collect();
    config.insert("id2label".into(), Value::Object(names));
    config.insert("label2id".into(), Value::Object(ids));
}

/// The tensors of a class as they are collected from a model's.
struct Names<'a> {
    weights: &'a ModelTensors,
    config: &'a VitConfig,
    tensors: BTreeMap<String, LazyTensor<'a>>,
}

impl<'a> Names<'a> {
    fn new(exporter: &'a Exporter<'_>) -> Self {
        Self { weights: &exporter.weights, config: exporter.config, tensors: BTreeMap::new() }
    }

    fn put(&mut self, name: String, part: LazyTensor<'a>) {
        self.tensors.insert(name, part);
    }

    /// A layer's `weight` and, where it has one, `bias`.
    fn layer(&mut self, to: &str, from: &str) {
        for end in ["weight", "bias"] {
            let from = format!("{from}.{end}");
            if self.weights.has(&from) {
                self.put(format!("{to}.{end}"), self.weights.copy(&from));
            }
        }
    }

    /// The thirds of a fused projection under names of their own: queries, keys
    /// and values.
    fn thirds(&mut self, to: [String; 3], from: &str) {
        let dim = self.config.embed_dim;
        for (index, to) in to.iter().enumerate() {
            let rows = index * dim..(index + 1) * dim;
            for end in ["weight", "bias"] {
                let from = format!("{from}.{end}");
                if self.weights.has(&from) {
                    self.put(format!("{to}.{end}"), self.weights.rows(&from, rows.clone()));
                }
            }
        }
    }

    /// Positions of the class token and the patches, `[1, 1 + P, D]`: zero for a
    /// class token that has none, and those of registers left out.
    fn token_positions(&self) -> LazyTensor<'a> {
        let (weights, dim, patches) = (self.weights, self.config.embed_dim, self.config.patches());
        let flat = |rows: usize| weights.shaped("pos_embed", vec![rows, dim]);
        if self.config.no_embed_class {
            let parts = vec![LazyTensor::zeros(vec![1, dim]), flat(patches)];
            return LazyTensor::stacked(parts).reshaped(vec![1, 1 + patches, dim]);
        }
        let registers = self.config.reg_tokens;
        LazyTensor::new(vec![1, 1 + patches, dim], move || {
            let mut values = weights.read("pos_embed")?;
            values.drain(dim..(1 + registers) * dim);
            Ok(values)
        })
    }

    /// Register tokens with their positions, where they have any, `[1, R, D]`.
    fn registers(&self) -> LazyTensor<'a> {
        let (weights, dim) = (self.weights, self.config.embed_dim);
        let registers = self.config.reg_tokens;
        let tokens = weights.copy("reg_token");
        if self.config.no_embed_class || self.config.positions != Positions::Learned {
            return tokens;
        }
        tokens.plus(LazyTensor::new(vec![1, registers, dim], move || {
            Ok(weights.read("pos_embed")?[dim..(1 + registers) * dim].to_vec())
        }))
    }
}

/// Whether the model's one output is its class token's.
fn reads_class_token(config: &VitConfig) -> bool {
    config.class_token && config.pooling == Pooling::Token
}
