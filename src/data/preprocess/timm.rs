//! timm's `pretrained_cfg`.

use serde_json::Value;

use super::rule::{Framing, Preprocess, channels, statistics};

/// Reads timm's `config.json`, with defaults from `base`; none where it is another
/// program's, or about another architecture than `arch`.
pub(super) fn read(
    json: &Value,
    arch: &str,
    base: &Preprocess,
) -> Result<Option<Preprocess>, String> {
    let bare = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let (Some(named), Some(config)) =
        (json["architecture"].as_str(), json.get("pretrained_cfg").filter(|cfg| cfg.is_object()))
    else {
        return Ok(None);
    };
    if bare(named) != bare(arch) {
        return Ok(None);
    }
    let given = |key: &str| config.get(key).filter(|value| !value.is_null());
    let of_channels = |key: &str, base: [f32; 3]| match given(key) {
        Some(value) => channels(value, key),
        None => Ok(base.map(f64::from)),
    };
    let mean = of_channels("mean", base.normalise.mean)?;
    let std = of_channels("std", base.normalise.std)?;
    let Framing::Timm { mut crop_mode, mut crop_pct } = base.framing else { return Ok(None) };
    let mut interpolation = base.interpolation;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(value) = given("interpolation") {
        interpolation = text(value).parse().map_err(|known| {
            format!("its interpolation is {value}, which is not known; {known}")
        })?;
    }
    if let Some(value) = given("crop_mode") {
        crop_mode = text(value)
            .parse()
            .map_err(|known| format!("its crop_mode is {value}, which is not known; {known}"))?;
    }
    if let Some(value) = given("crop_pct") {
        crop_pct = value
            .as_f64()
            .filter(|&pct| pct > 0.0 && pct <= 2.0)
            .ok_or_else(|| format!("its crop_pct is {value}; it must lie between 0 and 1"))?;
    }
    Ok(Some(Preprocess {
        normalise: statistics(mean, std)?,
        interpolation,
        framing: Framing::Timm { crop_mode, crop_pct },
    }))
}
