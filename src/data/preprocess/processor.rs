//! transformers' image processors.

use serde_json::{Map, Value};

use super::rule::{Edges, Framing, Preprocess, Steps, channels, statistics};
use crate::data::resample::Interpolation;

/// The longest side that is believed.
const LARGEST: u64 = 1 << 14;

const HALF: [f64; 3] = [0.5; 3];
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
const CLIP: [[f64; 3]; 2] =
    [[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]];

/// Defaults of a processor's class.
struct Class {
    /// Pillow's number of the filter.
    resample: u64,
    size: Edges,
    crop: Option<usize>,
    statistics: [[f64; 3]; 2],
}

/// The processor's class by `image_processor_type`, or `feature_extractor_type` of
/// older files.
fn class(name: &str) -> Option<Class> {
    let name = name.trim_end_matches("Fast").trim_end_matches("Pil");
    let kind = name
        .strip_suffix("ImageProcessor")
        .or_else(|| name.strip_suffix("FeatureExtractor"))
        .unwrap_or(name);
    let square = |side| Edges::Size([side; 2]);
    let half = [HALF, HALF];
    Some(match kind {
        "ViT" => Class { resample: 2, size: square(224), crop: None, statistics: half },
        "DeiT" => Class { resample: 3, size: square(256), crop: Some(224), statistics: half },
        "Siglip" => Class { resample: 3, size: square(224), crop: None, statistics: half },
        "DINOv3ViT" => Class { resample: 2, size: square(224), crop: None, statistics: IMAGENET },
        "Bit" | "CLIP" => {
            Class { resample: 3, size: Edges::ShortestEdge(224), crop: Some(224), statistics: CLIP }
        }
        _ => return None,
    })
}

/// Reads `preprocessor_config.json`, with its class's defaults.
pub(super) fn read(json: &Value) -> Result<Preprocess, String> {
    let config = json.as_object().ok_or("not an image processor's configuration")?;
    let name = ["image_processor_type", "feature_extractor_type"]
        .iter()
        .find_map(|key| config.get(*key)?.as_str())
        .unwrap_or_default();
    let class = class(name).ok_or_else(|| {
        format!(
            "its image processor is `{name}`; known are those of ViT, DeiT, Bit (DINOv2), CLIP, Siglip and DINOv3ViT"
        )
    })?;
    let switch = |key: &str, default: bool| match config.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(format!("its {key} is {other}; it must be true or false")),
    };
    if switch("do_pad", false)? {
        return Err("it pads images (do_pad), which is not known".into());
    }
    let resize = match switch("do_resize", true)? {
        true => Some(edges(config, &class)?),
        false => None,
    };
    let crop = match switch("do_center_crop", class.crop.is_some())? {
        true => Some(crop(config, &class)?),
        false => None,
    };
    let default = Value::from(class.resample);
    let code = given(config, "resample").unwrap_or(&default);
    let interpolation = filter(code)
        .ok_or_else(|| format!("its resample is {code}; Pillow's filters are 0 to 5"))?;

    let [mut mean, mut std] = [[0.0; 3], [1.0; 3]];
    if switch("do_normalize", true)? {
        let stated = |key: &str, default: [f64; 3]| {
            given(config, key).map_or(Ok(default), |value| channels(value, key))
        };
        mean = stated("image_mean", class.statistics[0])?;
        std = stated("image_std", class.statistics[1])?;
    }
    // Normalisation is of values in 0..1 here, and of rescaled ones there.
    let factor = match (switch("do_rescale", true)?, given(config, "rescale_factor")) {
        (false, _) => 255.0,
        (true, None) => 1.0,
        (true, Some(value)) => {
            255.0
                * value
                    .as_f64()
                    .filter(|&f| f.is_finite() && f > 0.0)
                    .ok_or_else(|| format!("its rescale_factor is {value}; it must be above 0"))?
        }
    };
    Ok(Preprocess {
        normalise: statistics(mean.map(|v| v / factor), std.map(|v| v / factor))?,
        interpolation,
        framing: Framing::Steps(Steps { resize, crop }),
    })
}

fn given<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|value| !value.is_null())
}

fn length(value: &Value) -> Option<usize> {
    value.as_u64().filter(|side| (1..=LARGEST).contains(side)).map(|side| side as usize)
}

fn sides(value: &Value) -> Option<[usize; 2]> {
    Some([length(&value["height"])?, length(&value["width"])?])
}

fn edges(config: &Map<String, Value>, class: &Class) -> Result<Edges, String> {
    let Some(value) = given(config, "size") else { return Ok(class.size) };
    let square = matches!(class.size, Edges::Size(_))
        || config.get("use_square_size").is_some_and(|value| value == true);
    let known = match value {
        Value::Number(_) if square => length(value).map(|side| Edges::Size([side; 2])),
        Value::Number(_) => length(value).map(Edges::ShortestEdge),
        Value::Object(keys) if keys.keys().all(|key| key == "height" || key == "width") => {
            sides(value).map(Edges::Size)
        }
        Value::Object(keys) if keys.keys().all(|key| key == "shortest_edge") => {
            length(&value["shortest_edge"]).map(Edges::ShortestEdge)
        }
        _ => None,
    };
    known.ok_or_else(|| {
        format!(
            "its size is {value}; known are a shortest_edge, or height and width, of 1 to {LARGEST}"
        )
    })
}

fn crop(config: &Map<String, Value>, class: &Class) -> Result<[usize; 2], String> {
    let Some(value) = given(config, "crop_size") else {
        return class
            .crop
            .map(|side| [side; 2])
            .ok_or_else(|| "it crops, but has no crop_size".into());
    };
    let square = length(value).map(|side| [side; 2]);
    square.or_else(|| sides(value)).ok_or_else(|| {
        format!("its crop_size is {value}; it must be a height and width of 1 to {LARGEST}")
    })
}

fn filter(code: &Value) -> Option<Interpolation> {
    Some(match code.as_u64()? {
        0 => Interpolation::Nearest,
        1 => Interpolation::Lanczos,
        2 => Interpolation::Bilinear,
        3 => Interpolation::Bicubic,
        4 => Interpolation::Box,
        5 => Interpolation::Hamming,
        _ => return None,
    })
}
