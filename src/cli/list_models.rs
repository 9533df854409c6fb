use std::process::ExitCode;

use comfy_table::Table;
use serde_json::json;

use super::args::ModelsArgs;
use crate::error::{Error, Result};
use crate::vit::{Preset, presets};

pub(super) fn run(args: &ModelsArgs) -> Result<ExitCode> {
    let wanted = args.filter.as_deref().unwrap_or_default().to_lowercase();
    let fits = |preset: &&Preset| {
        preset.name.contains(&wanted) || preset.family.title().to_lowercase().contains(&wanted)
    };
    let found: Vec<&Preset> = presets().iter().filter(fits).collect();
    if found.is_empty() {
        return Err(Error::config(format!(
            "no known model has `{wanted}` in its name or family; `singer models` lists them all"
        )));
    }
    if args.json {
        let rows = found.iter().map(|preset| row(preset)).collect::<Result<Vec<_>>>()?;
        say!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header([
        "family",
        "name",
        "params (M)",
        "depth",
        "width",
        "patch",
        "image",
        "mean",
        "std",
        "crop",
        "mode",
        "filter",
    ]);
    for preset in found {
        let config = preset.config();
        let (mean, std) = preset.mean_std();
        table.add_row([
            preset.family.title().to_owned(),
            preset.name.to_owned(),
            format!("{:.1}", config.num_params()? as f64 / 1e6),
            config.depth.to_string(),
            config.embed_dim.to_string(),
            config.patch_size.to_string(),
            config.img_size[0].to_string(),
            channels(mean),
            channels(std),
            preset.crop_pct.to_string(),
            preset.crop_mode.to_string(),
            preset.interpolation.to_string(),
        ]);
    }
    say!("{table}");
    say!("Names are timm's. A tag that is not listed has the shape of its name.");
    Ok(ExitCode::SUCCESS)
}

fn row(preset: &Preset) -> Result<serde_json::Value> {
    let config = preset.config();
    let (mean, std) = preset.mean_std();
    Ok(json!({
        "family": preset.family.title(),
        "name": preset.name,
        "parameters": config.num_params()?,
        "mean": mean,
        "std": std,
        "crop_pct": preset.crop_pct,
        "crop_mode": preset.crop_mode,
        "interpolation": preset.interpolation,
        "config": config,
    }))
}

/// One number where all channels agree.
fn channels(values: [f32; 3]) -> String {
    let [first, ..] = values;
    match values.iter().all(|&value| value == first) {
        true => format!("{first}"),
        false => values.map(|value| format!("{value:.3}")).join(" "),
    }
}
