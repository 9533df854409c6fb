use std::process::ExitCode;

use burn::tensor::Device;
use comfy_table::Table;
use serde_json::json;

use super::args::NullspaceArgs;
use super::models;
use crate::error::{Error, Result};
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};

pub(super) fn run(args: &NullspaceArgs) -> Result<ExitCode> {
    let model = args.read.open(&args.weights)?;
    let vit = models::build(&model, 0, &Device::flex())?;
    let kind: BasisKind = serde_json::from_value(json!(args.basis)).map_err(|_| {
        Error::config(format!("--basis {}: use smallest, threshold or random", args.basis))
    })?;
    let layers = args.layers.clone().unwrap_or_else(|| (0..vit.depth()).collect());
    if let Some(layer) = layers.iter().find(|&&layer| layer >= vit.depth()) {
        return Err(Error::config(format!(
            "--layers: there is no layer {layer}; the model's are 0 to {}",
            vit.depth() - 1
        )));
    }
    let selection = Selection { kind, rank: args.rank, threshold: args.threshold, seed: 0 };
    let mut table = Table::new();
    table.set_header([
        "layer",
        "reader",
        "sigma max",
        "median",
        "sigma min",
        "residual",
        "below threshold",
        "random columns",
    ]);
    let mut reports = Vec::new();
    for layer in layers {
        let reader = next_block(layer, vit.depth());
        let basis = Basis::select(&Linearised::of(&vit.blocks[reader]), &selection, reader)?;
        let spectrum = &basis.spectrum;
        let below = spectrum.iter().filter(|&&sigma| sigma < args.threshold).count();
        let last = spectrum.len() - 1;
        table.add_row([
            layer.to_string(),
            reader.to_string(),
            format!("{:.4}", spectrum[0]),
            format!("{:.4}", spectrum[last / 2]),
            format!("{:.2e}", spectrum[last]),
            format!("{:.2e}", basis.residual),
            below.to_string(),
            basis.random_columns.to_string(),
        ]);
        reports.push(json!({
            "layer": layer,
            "reader": reader,
            "spectrum": spectrum,
            "rank": args.rank,
            "residual": basis.residual,
            "below_threshold": below,
            "random_columns": basis.random_columns,
        }));
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&reports).unwrap_or_default());
    } else {
        say!("{table}");
        say!(
            "residual: the spectral norm of N^T W, for the {} basis of rank {}",
            args.basis,
            args.rank
        );
    }
    Ok(ExitCode::SUCCESS)
}
