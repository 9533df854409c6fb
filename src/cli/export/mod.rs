//! `singer export`.

mod args;

use std::process::ExitCode;

pub(super) use args::ExportArgs;
use args::Form;

use super::models;
use crate::device::Device;
use crate::error::Result;
use crate::export::{Card, Destination, ExportOptions, Measurement, Provenance};
use crate::run::DataConfig;

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let format = args.to.format();
    // Before the weights are fetched and read.
    Destination::of(format, &args.out)?.check(args.force)?;
    let origin = Provenance::of(&args.weights)?;
    let card = card(args, origin.card())?;
    let resolved = args.read.open(&origin.weights)?;
    let model = models::load(resolved, &DataConfig::default(), &Device::cpu())?;
    let mut model = model.with_card(card);
    if args.no_head {
        model = model.without_head();
    }
    let dtype = args.dtype.dtype();
    let options = ExportOptions { dtype, external_data: args.external_data, replace: args.force };
    let exported = model.export_with(format, &args.out, &options)?;
    for (path, bytes) in &exported.files {
        say!("wrote {} ({bytes} bytes)", path.display());
    }
    if args.to != Form::Onnx {
        say!("to publish it: hf upload OWNER/NAME {}", args.out.display());
        if args.license.is_none() {
            say!("its card states no licence; --license NAME does");
        }
    }
    for note in &exported.notes {
        say!("{note}");
    }
    if exported.vanished > 0 {
        note!(
            "singer: warning: {} values are too small for {} and became zero",
            exported.vanished,
            dtype.name()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The card with what the arguments say of the model.
fn card(args: &ExportArgs, mut card: Card) -> Result<Card> {
    card.hub.license.clone_from(&args.license);
    card.hub.datasets.clone_from(&args.dataset);
    if !args.base_model.is_empty() {
        card.hub.base_models.clone_from(&args.base_model);
    }
    for probe in &args.probe {
        card.hub.measurements.extend(Measurement::of_probe(probe)?);
    }
    Ok(card)
}
