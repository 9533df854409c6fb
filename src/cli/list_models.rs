use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::json;

use super::args::ModelsArgs;
use crate::error::{Error, Result};
use crate::vit::{Preset, presets};

pub(super) fn run(args: &ModelsArgs) -> Result<ExitCode> {
    let wanted = args.filter.as_deref().unwrap_or_default().to_lowercase();
    let size = args.size.as_deref().map(str::to_lowercase);
    let fits = |preset: &&Preset| {
        let named =
            preset.name.contains(&wanted) || preset.family.title().to_lowercase().contains(&wanted);
        named && size.as_deref().is_none_or(|size| has_size(preset.name, size))
    };
    let found: Vec<&Preset> = presets().iter().filter(fits).collect();
    if found.is_empty() {
        let of_size = args.size.as_ref().map(|size| format!(" of size `{size}`"));
        return Err(Error::config(format!(
            "no known model{} has `{wanted}` in its name or family; `singer models` lists them all",
            of_size.unwrap_or_default()
        )));
    }
    if args.json {
        let rows = found.iter().map(|preset| row(preset)).collect::<Result<Vec<_>>>()?;
        say!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    if let [only] = found[..] {
        say!("{}", description(only)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut families: Vec<(&str, Vec<&Preset>)> = Vec::new();
    for preset in found {
        let title = preset.family.title();
        match families.iter_mut().find(|(known, _)| *known == title) {
            Some((_, members)) => members.push(preset),
            None => families.push((title, vec![preset])),
        }
    }
    for (title, members) in families {
        say!("{title}\n{}\n", list(&members)?);
    }
    say!("Names are timm's. A tag that is not listed has the shape of its name.");
    say!("`singer models NAME` says how a model's images are prepared.");
    Ok(ExitCode::SUCCESS)
}

/// Whether a model's name states a size: as a word, or by its letter as in `vitb14`.
fn has_size(name: &str, size: &str) -> bool {
    name.split(['_', '.']).any(|word| {
        let letter = word.strip_prefix("vit").and_then(|rest| rest.chars().next());
        word.starts_with(size) || (letter.is_some() && letter == size.chars().next())
    })
}

fn list(members: &[&Preset]) -> Result<String> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["  name", "parameters (M)", "blocks", "width", "patch", "image"]);
    for preset in members {
        let config = preset.config();
        table.add_row([
            format!("  {}", preset.name),
            format!("{:.1}", config.num_params()? as f64 / 1e6),
            config.depth.to_string(),
            config.embed_dim.to_string(),
            config.patch_size.to_string(),
            config.img_size[0].to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Ok(table.trim_fmt())
}

/// One model: its shape, and how its images are prepared.
fn description(preset: &Preset) -> Result<String> {
    let config = preset.config();
    let (mean, std) = preset.mean_std();
    let [height, width] = config.img_size;
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in [
        ("name", preset.name.to_owned()),
        ("family", preset.family.title().to_owned()),
        ("parameters (M)", format!("{:.1}", config.num_params()? as f64 / 1e6)),
        ("blocks", config.depth.to_string()),
        ("width", config.embed_dim.to_string()),
        ("heads", config.num_heads.to_string()),
        ("patch", config.patch_size.to_string()),
        ("image", format!("{height}x{width}")),
        ("tokens", config.tokens().to_string()),
        ("mean", channels(mean)),
        ("deviation", channels(std)),
        ("crop", format!("{} ({})", preset.crop_pct, preset.crop_mode)),
        ("filter", preset.interpolation.to_string()),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    Ok(table.trim_fmt())
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
