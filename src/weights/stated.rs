//! The configs beside a file of weights.

use serde_json::Value;

use crate::vit::{Activation, Preset, preset};

/// Channel mean and deviation.
type MeanStd = ([f32; 3], [f32; 3]);

/// What the configs beside weights state.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// timm's model with its tag, where timm published it.
    pub(super) preset: Option<&'static Preset>,
    /// timm's name of a model that has no preset.
    pub(super) unknown_arch: Option<String>,
    pub(super) img_size: Option<[usize; 2]>,
    pub(super) num_heads: Option<usize>,
    pub(super) norm_eps: Option<f64>,
    pub(super) activation: Option<String>,
    pub(super) temperature: Option<f64>,
    pub(super) mean_std: Option<MeanStd>,
}

/// Defaults of transformers' classes, which their configs may omit, by `model_type`:
/// heads, epsilon of norms, activation, image side.
#[rustfmt::skip]
const DEFAULTS: &[(&[&str], usize, f64, &str, usize)] = &[
    (&["vit", "vit_mae", "deit"], 12, 1e-12, "gelu", 224),
    (&["dinov2", "dinov2_with_registers"], 12, 1e-6, "gelu", 224),
    (&["dinov3_vit"], 6, 1e-5, "gelu", 224),
    (&["clip", "clip_vision_model", "metaclip_2", "metaclip_2_vision_model"], 12, 1e-5, "quick_gelu", 224),
    (&["siglip", "siglip_vision_model"], 12, 1e-6, "gelu_pytorch_tanh", 224),
];

impl Stated {
    /// Reads `config.json` (transformers' or timm's), `open_clip_config.json` and
    /// `preprocessor_config.json`, those of which `beside` gives the text.
    pub(super) fn of(beside: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| serde_json::from_str::<Value>(&beside(name)?).ok();
        let mut stated = match (read("config.json"), read("open_clip_config.json")) {
            (Some(config), _) if config["architecture"].is_string() => Self::of_timm(&config),
            (Some(config), _) if config["model_type"].is_string() => Self::of_transformers(&config),
            (_, Some(config)) => Self::of_open_clip(&config),
            _ => Self::default(),
        };
        let preprocessing = read("preprocessor_config.json")
            .and_then(|config| Some((three(&config["image_mean"])?, three(&config["image_std"])?)));
        stated.mean_std = preprocessing.or(stated.mean_std);
        stated
    }

    fn of_timm(config: &Value) -> Self {
        let name = config["architecture"].as_str().unwrap_or_default();
        let published = &config["pretrained_cfg"];
        let known = match published["tag"].as_str() {
            Some(tag) => preset(&format!("{name}.{tag}")),
            None => preset(name),
        };
        let args = &config["model_args"];
        Self {
            preset: known,
            unknown_arch: known.is_none().then(|| name.to_owned()),
            img_size: sides(&args["img_size"]),
            num_heads: number(&args["num_heads"]),
            activation: args["act_layer"].as_str().map(str::to_owned),
            mean_std: three(&published["mean"]).zip(three(&published["std"])),
            ..Self::default()
        }
    }

    fn of_transformers(config: &Value) -> Self {
        let own = &config["vision_config"];
        let own = if own.is_object() { own } else { config };
        let kind = own["model_type"].as_str().or_else(|| config["model_type"].as_str());
        let default = DEFAULTS.iter().find(|(kinds, ..)| kind.is_some_and(|k| kinds.contains(&k)));
        let activation = own["hidden_act"].as_str();
        Self {
            img_size: sides(&own["image_size"]).or(default.map(|&(.., side)| [side; 2])),
            num_heads: number(&own["num_attention_heads"]).or(default.map(|d| d.1)),
            norm_eps: own["layer_norm_eps"].as_f64().or(default.map(|d| d.2)),
            activation: activation.or(default.map(|d| d.3)).map(str::to_owned),
            temperature: own["rope_theta"].as_f64(),
            ..Self::default()
        }
    }

    /// <https://github.com/mlfoundations/open_clip>, `model_configs`.
    fn of_open_clip(config: &Value) -> Self {
        let model = &config["model_cfg"];
        let vision = &model["vision_cfg"];
        let quick = model["quick_gelu"].as_bool().unwrap_or(false);
        let width = number(&vision["width"]);
        let head_width = number(&vision["head_width"]).unwrap_or(64).max(1);
        let preprocessing = &config["preprocess_cfg"];
        Self {
            img_size: sides(&vision["image_size"]),
            num_heads: width.map(|width| width / head_width),
            activation: Some(if quick { "quick_gelu" } else { "gelu" }.into()),
            mean_std: three(&preprocessing["mean"]).zip(three(&preprocessing["std"])),
            ..Self::default()
        }
    }

    /// The MLP of that activation; the error is the reason why there is none.
    pub(super) fn mlp(&self, gated: bool) -> Result<Option<Activation>, String> {
        let Some(name) = &self.activation else { return Ok(None) };
        let kind = match name.as_str() {
            // transformers' DINOv2 is gated by SiLU whatever its config says.
            _ if gated => Activation::Swiglu,
            "gelu" => Activation::Gelu,
            "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" | "gelu_tanh" => Activation::GeluTanh,
            "quick_gelu" | "quickgelu" => Activation::QuickGelu,
            _ => {
                return Err(format!(
                    "its config states the activation {name}; gelu, gelu_pytorch_tanh and quick_gelu are known"
                ));
            }
        };
        Ok(Some(kind))
    }
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok().filter(|&number| number > 0)
}

/// One number for a square, or height and width.
fn sides(value: &Value) -> Option<[usize; 2]> {
    match value {
        Value::Array(sides) => match sides.as_slice() {
            [height, width] => Some([number(height)?, number(width)?]),
            _ => None,
        },
        _ => number(value).map(|side| [side; 2]),
    }
}

fn three(value: &Value) -> Option<[f32; 3]> {
    let values: Vec<f32> =
        value.as_array()?.iter().filter_map(|value| Some(value.as_f64()? as f32)).collect();
    values.try_into().ok()
}
