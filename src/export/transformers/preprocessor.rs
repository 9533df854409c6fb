use serde_json::{Value, json};

use crate::data::{CropMode, Interpolation};
use crate::error::Result;
use crate::export::{Exporter, Format, decimal};

/// `preprocessor_config.json`: resize, centre crop of the model's size, values in
/// 0..1, normalised.
pub(super) fn config(exporter: &Exporter<'_>, processor: &str) -> Result<Value> {
    let [height, width] = exporter.config.img_size;
    let preprocessing = &exporter.preprocessing;
    let [resized_height, resized_width] = preprocessing.resized([height, width]);
    let size = match preprocessing.crop_mode {
        CropMode::Center => json!({ "shortest_edge": resized_height.min(resized_width) }),
        CropMode::Squash => json!({ "height": resized_height, "width": resized_width }),
        CropMode::Border => {
            let reason = "its image processors cannot add borders as this model's preparation does";
            return Err(exporter.refuse(Format::Transformers, reason));
        }
    };
    Ok(json!({
        "image_processor_type": processor,
        "do_convert_rgb": true,
        "do_resize": true,
        "size": size,
        "resample": resample(preprocessing.interpolation),
        "do_center_crop": true,
        "crop_size": { "height": height, "width": width },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": preprocessing.mean.map(decimal),
        "image_std": preprocessing.std.map(decimal),
    }))
}

/// Pillow's number of a filter.
fn resample(filter: Interpolation) -> u8 {
    match filter {
        Interpolation::Nearest => 0,
        Interpolation::Lanczos => 1,
        Interpolation::Bilinear => 2,
        Interpolation::Bicubic => 3,
        Interpolation::Box => 4,
        Interpolation::Hamming => 5,
    }
}
