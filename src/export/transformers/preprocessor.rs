use serde_json::{Value, json};

use crate::export::{Subject, decimal};

/// `preprocessor_config.json`: the shorter side resized (bicubic), a centre crop
/// of the model's size, values in 0..1, normalised.
pub(super) fn config(subject: &Subject<'_>, processor: &str) -> Value {
    let [height, width] = subject.config.img_size;
    let preprocessing = &subject.preprocessing;
    json!({
        "image_processor_type": processor,
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": preprocessing.resize(subject.config) },
        "resample": 3,
        "do_center_crop": true,
        "crop_size": { "height": height, "width": width },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": preprocessing.mean.map(decimal),
        "image_std": preprocessing.std.map(decimal),
    })
}
