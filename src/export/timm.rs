use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dtype::WeightDtype;
use super::file::{ExportFile, Package};
use super::tensors::LazyTensor;
use super::{Exporter, Format, decimal, safetensors};
use crate::error::Result;
use crate::vit::{Family, FinalNorm, Pooling, Positions, VitConfig, preset};
use crate::weights::CONFIG_KEY;

pub(super) fn package<'a>(exporter: &'a Exporter<'_>, dtype: WeightDtype) -> Result<Package<'a>> {
    let arguments = Arguments::of(exporter)?;
    let weights = &exporter.weights;
    let tensors: BTreeMap<_, _> =
        weights.names().flat_map(|name| as_timm_has_it(exporter, name)).collect();
    let stored = json!((exporter.arch, exporter.config)).to_string();
    let metadata = [("format", "pt".to_owned()), (CONFIG_KEY, stored)];
    let model = safetensors::file("model.safetensors", tensors, &metadata, dtype);
    let config = format!("{:#}\n", config(exporter, &arguments));
    Ok(Package {
        files: vec![
            model,
            ExportFile::text("README.md", exporter.card.timm(exporter)),
            ExportFile::text("config.json", config),
        ],
        notes: vec![
            format!("without the folder, make the model with {}", call(exporter)?),
            "load it with timm.create_model('local-dir:FOLDER', pretrained=True)".into(),
        ],
    })
}

/// A tensor under its name in timm, or the parts that timm has instead: its `Eva` keeps a gate
/// whose width is aligned or whose output is normed in a layer of its own, and in EVA-02
/// queries, keys and values.
fn as_timm_has_it<'a>(exporter: &'a Exporter<'_>, name: &str) -> Vec<(String, LazyTensor<'a>)> {
    let (weights, config) = (&exporter.weights, exporter.config);
    let (dim, half) = (config.embed_dim, config.hidden_dim() / 2);
    let parts = |whole: &str, parts: &[&str], rows: usize| {
        let part = |(at, part): (usize, &&str)| {
            let rows = weights.rows(name, at * rows..(at + 1) * rows);
            (name.replace(whole, part), rows)
        };
        parts.iter().enumerate().map(part).collect()
    };
    let renamed = |from: &str, to: &str| vec![(name.replace(from, to), weights.copy(name))];
    match name.rsplit_once(".attn.").map(|(_, part)| part) {
        Some("qkv.weight") if config.scale_mlp => {
            return parts("qkv", &["q_proj", "k_proj", "v_proj"], dim);
        }
        Some("q_bias") if config.scale_mlp => return renamed("q_bias", "q_proj.bias"),
        Some("v_bias") if config.scale_mlp => return renamed("v_bias", "v_proj.bias"),
        _ => {}
    }
    if (aligns_gates(config) || config.scale_mlp) && name.contains(".mlp.fc1.") {
        return parts("fc1", &["fc1_g", "fc1_x"], half);
    }
    vec![(name.to_owned(), weights.copy(name))]
}

/// Whether timm builds this shape's gated MLPs with a width that it rounds up.
fn aligns_gates(config: &VitConfig) -> bool {
    config.mlp.is_gated() && matches!(config.positions, Positions::Rotary { .. })
}

/// `timm.create_model(...)` with the shape's departures from the name.
pub(super) fn call(exporter: &Exporter<'_>) -> Result<String> {
    let Arguments { architecture, departures } = Arguments::of(exporter)?;
    let mut text = format!("timm.create_model('{architecture}'");
    let classes = json!(exporter.config.num_classes);
    for (name, value) in departures.iter().chain([(&"num_classes".to_owned(), &classes)]) {
        text += &format!(", {name}={}", python(value));
    }
    Ok(text + ")")
}

/// A JSON value of an argument as Python writes it.
fn python(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        Value::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

/// What `timm.create_model` must be given, but for the number of classes.
struct Arguments {
    /// Without the tag of the published weights.
    architecture: String,
    departures: Map<String, Value>,
}

impl Arguments {
    fn of(exporter: &Exporter<'_>) -> Result<Self> {
        let name = exporter.arch.split('.').next().unwrap_or_default();
        let preset = preset(name).ok_or_else(|| {
            exporter.refuse(Format::Timm, "timm has no model of this name that is known here")
        })?;
        // It has Franca's shapes under no name.
        let name = match preset.family {
            Family::Franca => "vit_giant_patch14_dinov2",
            _ => name,
        };
        let preset = self::preset(name).unwrap_or(preset);
        let (ours, theirs) = (exporter.config, preset.config());
        // timm's Eva, which its models with rotary positions are, has other names.
        let eva = ours.positions.is_rotary();
        let mut departures = Map::new();
        let mut compare = |name: &str, ours: Value, theirs: Value| {
            if ours != theirs {
                departures.insert(name.to_owned(), ours);
            }
        };
        compare("img_size", json!(ours.img_size), json!(theirs.img_size));
        compare("patch_size", json!(ours.patch_size), json!(theirs.patch_size));
        compare("embed_dim", json!(ours.embed_dim), json!(theirs.embed_dim));
        compare("depth", json!(ours.depth), json!(theirs.depth));
        compare("num_heads", json!(ours.num_heads), json!(theirs.num_heads));
        let same_ratio = (ours.embed_dim as f64 * theirs.mlp_ratio) as usize == ours.hidden_dim();
        let ratio = if same_ratio { theirs.mlp_ratio } else { ours.mlp_ratio };
        // timm's Eva does not count the gate.
        let counted = if eva && ours.mlp.is_gated() { 2.0 } else { 1.0 };
        compare("mlp_ratio", json!(ratio / counted), json!(theirs.mlp_ratio / counted));
        if aligns_gates(ours) && !same_ratio {
            compare("swiglu_align_to", json!(1), Value::Null);
        }
        let registers = if eva { "num_reg_tokens" } else { "reg_tokens" };
        compare(registers, json!(ours.reg_tokens), json!(theirs.reg_tokens));
        compare("class_token", json!(ours.class_token), json!(theirs.class_token));
        compare("global_pool", json!(pool(ours.pooling)), json!(pool(theirs.pooling)));
        if ours.pooling != theirs.pooling {
            let name = if eva { "use_fc_norm" } else { "fc_norm" };
            compare(name, json!(ours.final_norm == FinalNorm::Pooled), Value::Null);
        }
        let norm = if eva { "use_pre_transformer_norm" } else { "pre_norm" };
        compare(norm, json!(ours.pre_norm), json!(theirs.pre_norm));
        compare("no_embed_class", json!(ours.no_embed_class), json!(theirs.no_embed_class));
        let (pool, their_pool) = (ours.attn_pool_num_heads, theirs.attn_pool_num_heads);
        compare("attn_pool_num_heads", json!(pool), json!(their_pool));
        let (pool, their_pool) = (ours.attn_pool_mlp_ratio, theirs.attn_pool_mlp_ratio);
        compare("attn_pool_mlp_ratio", json!(pool), json!(their_pool));
        let mut positions = theirs.positions;
        if let (
            Positions::LearnedAndRotary { side, first, .. },
            Positions::LearnedAndRotary { side: their_side, first: their_first, .. },
        ) = (ours.positions, &mut positions)
        {
            compare("ref_feat_shape", json!([side, side]), json!([*their_side, *their_side]));
            compare("rope_grid_offset", json!(first as f64), json!(*their_first as f64));
            (*their_side, *their_first) = (side, first);
        }
        // Only whether there are gains shapes a model; their start is no matter here.
        if ours.init_values.is_some() != theirs.init_values.is_some() {
            compare("init_values", json!(ours.init_values), json!(theirs.init_values));
        }
        let told = VitConfig {
            mlp: theirs.mlp,
            norm_eps: theirs.norm_eps,
            qkv_bias: theirs.qkv_bias,
            positions,
            final_norm: theirs.final_norm,
            scale_mlp: theirs.scale_mlp,
            scale_attn_inner: theirs.scale_attn_inner,
            ..ours.clone()
        };
        if told != *ours {
            let reason = format!(
                "it departs from {name} in its activation, norms, epsilon, biases or kind of positions, for which timm has no plain argument"
            );
            return Err(exporter.refuse(Format::Timm, reason));
        }
        Ok(Self { architecture: name.into(), departures })
    }
}

fn pool(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Token => "token",
        Pooling::Mean => "avg",
        Pooling::Attention => "map",
    }
}

/// timm's `config.json`, as its `save_for_hf` writes it.
fn config(exporter: &Exporter<'_>, arguments: &Arguments) -> Value {
    let Exporter { config, preprocessing, .. } = exporter;
    let [height, width] = config.img_size;
    let learned = !matches!(config.positions, Positions::Rotary { .. });
    let mut root = json!({
        "architecture": arguments.architecture,
        "num_classes": config.num_classes,
        "num_features": config.embed_dim,
        "global_pool": pool(config.pooling),
        "pretrained_cfg": {
            "tag": exporter.preset().and(exporter.arch.split_once('.')).map_or("", |(_, tag)| tag),
            "custom_load": false,
            "input_size": [3, height, width],
            "fixed_input_size": learned,
            "interpolation": preprocessing.interpolation.name(),
            "crop_pct": preprocessing.crop_pct,
            "crop_mode": preprocessing.crop_mode.name(),
            "mean": preprocessing.mean.map(decimal),
            "std": preprocessing.std.map(decimal),
            "num_classes": config.num_classes,
            "pool_size": null,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    });
    if !arguments.departures.is_empty() {
        root["model_args"] = Value::Object(arguments.departures.clone());
    }
    root
}
