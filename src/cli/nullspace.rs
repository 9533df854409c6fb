use std::process::ExitCode;

use burn::tensor::Tensor;
use comfy_table::Table;
use serde_json::json;

use super::args::NullspaceArgs;
use super::{models, session};
use crate::data::{PassedOver, Split};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use crate::refine::{Drift, Sensitivity, drift};
use crate::run::{DataConfig, batches};
use crate::vit::Vit;

pub(super) fn run(args: &NullspaceArgs) -> Result<ExitCode> {
    let kind: BasisKind = serde_json::from_value(json!(args.basis)).map_err(|_| {
        Error::config(format!("--basis {}: use smallest, threshold, random or data", args.basis))
    })?;
    if kind == BasisKind::Data && args.data.is_empty() {
        return Err(Error::config("--basis data: give images with --data"));
    }
    if let Some(size) = args.sizes.iter().find(|size| !(size.is_finite() && **size > 0.0)) {
        return Err(Error::config(format!("--sizes {size}: give numbers above 0")));
    }
    let (vit, images, passed_over) = open(args)?;
    let layers = args.layers.clone().unwrap_or_else(|| (0..vit.depth()).collect());
    if let Some(layer) = layers.iter().find(|&&layer| layer >= vit.depth()) {
        return Err(Error::config(format!(
            "--layers: there is no layer {layer}; the model's are 0 to {}",
            vit.depth() - 1
        )));
    }
    let mut found = Vec::new();
    for layer in layers {
        let reader = next_block(layer, vit.depth());
        let basis = match kind {
            BasisKind::Data => Sensitivity::of(&vit, layer, &images, 0)?.basis(args.rank)?,
            _ => {
                let (rank, threshold) = (args.rank, args.threshold);
                let selection = Selection { kind, rank, threshold, seed: 0 };
                Basis::select(&Linearised::of(&vit.blocks[reader]), &selection, reader)?
            }
        };
        let drifts = match images.is_empty() {
            true => Vec::new(),
            false => drift(&vit, layer, &basis, &images, &args.sizes, 0)?,
        };
        found.push(Found { layer, reader, basis, drifts });
    }
    if args.json {
        let reports: Vec<_> = found.iter().map(|found| found.json(args)).collect();
        say!("{}", serde_json::to_string_pretty(&reports).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", spectra(&found, args.threshold));
    match kind {
        BasisKind::Data => say!(
            "sigma: change of all tokens for a small step of one in a patch (root mean square); residual: the largest within the basis of rank {}",
            args.rank
        ),
        _ => say!(
            "residual: the spectral norm of N^T W, for the {} basis of rank {}",
            args.basis,
            args.rank
        ),
    }
    if !images.is_empty() {
        say!("{}", drifts(&found, &args.sizes));
        say!(
            "drift of what the next block adds, relative, where one patch in 32 gets a vector of the basis of that many median norms: on those patches / on the others"
        );
    }
    session::report(passed_over.as_ref());
    Ok(ExitCode::SUCCESS)
}

/// The model, and its images where there are any.
fn open(args: &NullspaceArgs) -> Result<(Vit, Vec<Tensor<4>>, Option<PassedOver>)> {
    if args.data.is_empty() {
        let model = args.shape.open_weights(&args.weights)?;
        let vit = models::build(&model, 0, &burn::tensor::Device::flex())?;
        return Ok((vit, Vec::new(), None));
    }
    let shape = args.shape.open(&args.weights)?;
    let device = Device::open(&args.device)?;
    let side = session::scene_side(&shape.config);
    let data = args.preprocess.over(DataConfig::default())?;
    let model = models::load(shape, &data, &device)?;
    let images = session::images(&args.data, Split::Train, side, Some(args.limit))?;
    let (batches, passed_over) = batches(&model, &images, args.limit, data.max_unreadable)?;
    Ok((model.vit().clone(), batches, passed_over))
}

/// The basis of a layer.
struct Found {
    layer: usize,
    reader: usize,
    basis: Basis,
    drifts: Vec<Drift>,
}

impl Found {
    fn below(&self, threshold: f64) -> usize {
        self.basis.spectrum.iter().filter(|&&sigma| sigma < threshold).count()
    }

    fn json(&self, args: &NullspaceArgs) -> serde_json::Value {
        let drift = |drift: &Drift| json!({ "size": drift.size, "touched": drift.touched, "others": drift.others });
        let mut report = json!({
            "layer": self.layer,
            "reader": self.reader,
            "spectrum": self.basis.spectrum,
            "rank": args.rank,
            "residual": self.basis.residual,
            "below_threshold": self.below(args.threshold),
            "random_columns": self.basis.random_columns,
        });
        if !self.drifts.is_empty() {
            report["drift"] = self.drifts.iter().map(drift).collect();
        }
        report
    }
}

fn spectra(found: &[Found], threshold: f64) -> Table {
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
    for found in found {
        let spectrum = &found.basis.spectrum;
        let last = spectrum.len() - 1;
        table.add_row([
            found.layer.to_string(),
            found.reader.to_string(),
            format!("{:.4}", spectrum[0]),
            format!("{:.4}", spectrum[last / 2]),
            format!("{:.2e}", spectrum[last]),
            format!("{:.2e}", found.basis.residual),
            found.below(threshold).to_string(),
            found.basis.random_columns.to_string(),
        ]);
    }
    table
}

fn drifts(found: &[Found], sizes: &[f64]) -> Table {
    let mut table = Table::new();
    let sizes = sizes.iter().map(|size| format!("{size}x"));
    table.set_header(std::iter::once("layer".to_owned()).chain(sizes));
    for found in found {
        let drifts = found.drifts.iter();
        let drifts = drifts.map(|drift| format!("{:.4} / {:.4}", drift.touched, drift.others));
        table.add_row(std::iter::once(found.layer.to_string()).chain(drifts));
    }
    table
}
